"""Runs CPython's own tests with and without the agent, and reports which outcomes differ.

run.sh starts it on the interpreter under test itself, without the agent. Each test runs plainly
and then with the library preloaded, in a process and a folder of its own; that process and all its
descendants that carry the agent are activated without a pause. With --load a test that is activated
starts without the library: the activations bring it into every process of the interpreter that has
lived for 50 ms. A test that differs then runs again,
alone, several times and in several ways (trial.py), for a verdict (verdict.py). The exit status is
0 only if no test differs.
"""
import optparse
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time

import activation
import trial
import verdict

HERE = os.path.dirname(os.path.abspath(__file__))
# A test runs again with the agent until it has given ANSWERS answers, at most SHORT_RUNS times.
ANSWERS, SHORT_RUNS = 3, 6
LEFT_OUT = os.path.join(HERE, 'left-out.txt')


def options():
    parser = optparse.OptionParser(usage='%prog [OPTIONS] [TEST...]')
    parser.add_option('--library', help='the library to preload')
    parser.add_option('--activator', help='the command sleeper_agent_activate')
    parser.add_option('--load', action='store_true', dest='loads', help='load instead of preloading')
    parser.add_option('--list', help='where to write the list of tests run')
    parser.add_option('-j', type='int', default=2, dest='at_once', help='tests at once [2]')
    parser.add_option('--limit', type='int', default=300, help='seconds for a plain run [300]')
    parser.add_option('-u', dest='resources', help="resources to allow, as regrtest's -u")
    parser.add_option('-m', action='append', dest='methods',
                      help="methods to run, as regrtest's -m")
    chosen, tests = parser.parse_args()
    for name in ('library', 'activator'):
        path = getattr(chosen, name)
        if not path or not os.path.exists(path):
            parser.error('--%s: there is no %s' % (name, path))
        setattr(chosen, name, os.path.abspath(path))
    return chosen, tests


def left_out():
    """The tests that are left out, and why."""
    result = {}
    for line in open(LEFT_OUT):
        if line.strip() and not line.startswith('#'):
            name, reason = line.split(None, 1)
            result[name] = reason.strip()
    return result


def all_tests():
    from test import regrtest
    return regrtest.findtests()


class Run(object):
    """All the tests, and their results."""

    def __init__(self, product, chosen):
        self.product, self.chosen = product, chosen
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix='regrtest-'))
        # The loader preloads nothing from a path with a space or a colon, and the library may lie
        # anywhere. Tests may become other users.
        os.chmod(self.folder, int('755', 8))
        shutil.copy(product.library, self.folder)
        product.library = os.path.join(self.folder, os.path.basename(product.library))
        self.findings = {}
        self.not_runnable = {}
        self.account = activation.Account()
        self.seconds = {}
        self.activations, self.answers = {}, {}
        self.trials = 0

    def one(self, name, way):
        """A generator that runs a test once and records the result."""
        self.trials += 1
        log = os.path.join(self.folder, '%s.%s.%d.log' % (name, way, self.trials))
        folder = os.path.join(self.folder, 'in-%d' % self.trials)
        limit = self.chosen.limit
        if way != trial.PLAIN:
            # Constant questions on a busy machine slow a test down; a hanging test hangs longer.
            limit = 60 + 10 * self.seconds.get(name, 0)
        run = trial.Trial(self.product, name, way, folder, log, limit)
        for _ in run.running():
            yield None
        self.findings.setdefault(name, verdict.Findings(name)).enter(way, run.outcome)
        self.account.add(run.account)
        if way == trial.PLAIN:
            self.seconds[name] = max(run.seconds, self.seconds.get(name, 0))
        elif way == trial.ASKED:
            self.activations[name] = self.activations.get(name, 0) + run.account.total()
            self.answers[name] = self.answers.get(name, 0) + run.account.states()

    def both_ways(self, name):
        """A generator that runs a test plainly and then under activation."""
        for _ in self.one(name, trial.PLAIN):
            yield None
        findings = self.findings[name]
        if 'not done in time' in findings.outcomes[trial.PLAIN][0]['']:
            self.not_runnable[name] = 'not done within %d s, plainly' % self.chosen.limit
            return
        # A short test may end before it has been asked at all.
        for _ in range(SHORT_RUNS):
            for _ in self.one(name, trial.ASKED):
                yield None
            if self.answers[name] >= ANSWERS or findings.whole() != verdict.EQUAL:
                break
        if findings.whole() == verdict.EQUAL:
            self.forget_logs(name)
        else:
            say('%s went another way; it will be run again, alone' % name)

    def again(self, name):
        """Runs a suspicious test again, alone, in every way that may show why."""
        findings = self.findings[name]
        for ways in ([trial.PLAIN, trial.ASKED] * 2, [trial.BUSY, trial.ASLEEP],
                     [trial.PLAIN, trial.BUSY, trial.ASLEEP] * 2):
            if findings.settled():
                return
            for way in ways:
                exhaust(self.one(name, way))

    def forget_logs(self, name):
        for log in os.listdir(self.folder):
            if log.startswith(name + '.') and log.endswith('.log'):
                os.remove(os.path.join(self.folder, log))

    def all(self, tests):
        waiting, active = list(tests), []
        try:
            self.at_once(waiting, active, len(tests))
        finally:
            for generator in active:
                generator.close()  # ends what it has started
        for name in tests:
            if name in self.findings and name not in self.not_runnable:
                self.again(name)

    def at_once(self, waiting, active, total):
        done = 0
        while waiting or active:
            while waiting and len(active) < self.chosen.at_once:
                active.append(self.both_ways(waiting.pop(0)))
            for generator in list(active):
                try:
                    generator.next()
                except StopIteration:
                    active.remove(generator)
                    done += 1
                    if done % 25 == 0:
                        say('%d of %d tests' % (done, total))
            time.sleep(0.004)

    def names(self, wanted):
        return sorted(name for name in self.findings
                      if name not in self.not_runnable and self.findings[name].whole() == wanted)


def exhaust(generator):
    try:
        for _ in generator:
            time.sleep(0.004)
    finally:
        generator.close()


def stop(number, _):
    """Ends everything it has started when it is terminated, as at Ctrl-C."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def paragraph(title, names):
    if names:
        say('%s (%d):' % (title, len(names)))
        say(textwrap.fill(' '.join(name.replace('test_', '', 1) for name in names), 98,
                          initial_indent='  ', subsequent_indent='  ', break_on_hyphens=False))


def write_list(run, path):
    """Writes a line for each test run."""
    out = open(path, 'w')
    out.write('# %s\n' % sys.version.replace('\n', ' '))
    out.write('# test, verdict, methods, how it ended plainly, seconds, activations, answers\n')
    for name in sorted(run.findings):
        plain = run.findings[name].outcomes[trial.PLAIN][0]
        told = run.not_runnable.get(name) or run.findings[name].whole()
        out.write('%-28s %-10s %5d  %-30s %6.1f %6d %6d\n' % (
            name, told, len(plain) - 1, plain[''], run.seconds.get(name, 0),
            run.activations.get(name, 0), run.answers.get(name, 0)))
    out.close()


def tell(run, omitted):
    """Prints the summary; returns whether all is well."""
    say('')
    plain = dict((name, run.findings[name].outcomes[trial.PLAIN][0]) for name in run.findings)
    equal = run.names(verdict.EQUAL)
    passed = [name for name in equal if plain[name][''].startswith(('passed', 'env changed'))]
    skipped = [name for name in equal
               if plain[name][''].startswith(('skipped', 'resource denied', 'test did not run'))]
    others = [name for name in equal if name not in passed and name not in skipped]
    paragraph('equal: passes', passed)
    paragraph('equal: does not run here, with the agent or without', skipped)
    paragraph('equal: fails here, with the agent or without', others)
    for kind in (verdict.FLAKY, verdict.SLOW, verdict.DIFFERENT):
        for name in run.names(kind):
            say('%s: %s' % (kind, name))
            for line in run.findings[name].explained():
                say('  ' + line)
    for names in (run.not_runnable, omitted):
        for name in sorted(names):
            say('not run: %s: %s' % (name, names[name]))
    account = run.account
    say('')
    for count, reason in sorted(((account.reasons[one], one) for one in account.reasons),
                                reverse=True):
        say('%6d x %s' % (count, reason))
    say('%d activations: %d answered in full, %d from memory, %d that there is nothing to tell, '
        '%d refused' % (account.total(), account.answered, account.from_memory,
                        account.told_why_not, account.refused))
    for alarm in account.alarming:
        say('an answer that must never be: ' + alarm)
    different = run.names(verdict.DIFFERENT)
    say('%d tests with %d methods: %d equal, %d different, %d time-bound, %d flaky by themselves; '
        '%d not runnable, %d left out' % (
            len(run.findings), sum(len(one) - 1 for one in plain.values()), len(equal),
            len(different), len(run.names(verdict.SLOW)), len(run.names(verdict.FLAKY)),
            len(run.not_runnable), len(omitted)))
    unasked = sorted(name for name in run.answers if not run.answers[name])
    paragraph('never answered, though run %d times: says nothing of the agent' % SHORT_RUNS,
              unasked)
    if account.answered == 0:
        say('no activation was answered: this shows nothing')
    return not different and not account.alarming and account.answered > 0


def main():
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    chosen, tests = options()
    omitted = {}
    if not tests:
        every = all_tests()
        reasons = left_out()
        omitted = dict((name, reasons[name]) for name in every if name in reasons)
        tests = [name for name in every if name not in reasons]
    more = []
    if chosen.resources:
        more += ['-u', chosen.resources]
    for pattern in chosen.methods or []:
        more += ['-m', pattern]
    product = trial.Product(sys.executable, chosen.library, chosen.activator, more, chosen.loads)
    run = Run(product, chosen)
    say('%d tests of %s, %d at once; logs in %s' % (
        len(tests), sys.executable, chosen.at_once, run.folder))
    run.all(tests)
    well = tell(run, omitted)
    if chosen.list:
        write_list(run, chosen.list)
        say('the list of tests run: ' + chosen.list)
    if well:
        shutil.rmtree(run.folder, ignore_errors=True)
    else:
        say('failed; logs in ' + run.folder)
    sys.exit(not well)


if __name__ == '__main__':
    main()

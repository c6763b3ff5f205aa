"""One run of one test, in a process and a folder of its own."""
import os
import resource
import shutil
import signal
import subprocess
import time

import activation
import processes

# The ways to run a test.
PLAIN = 'plain'      # without the agent
ASKED = 'asked'      # with it, and activated all the time
ASLEEP = 'asleep'    # with it, and never activated
BUSY = 'busy'        # without it, while activations of other processes keep the machine busy

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = dict((getattr(signal, name), name) for name in dir(signal)
             if name.startswith('SIG') and not name.startswith('SIG_'))
BYSTANDERS = 2


class Product(object):
    """The interpreter under test, and the tools."""

    def __init__(self, python, library, activator, options, loads):
        self.python, self.library, self.activator = python, library, activator
        self.options, self.loads = options, loads

    def preloads(self, way):
        """Whether a test that runs in this way starts with the library."""
        return way == ASLEEP or way == ASKED and not self.loads


def environment(product, folder, mark, preload):
    result = dict((name, os.environ[name]) for name in os.environ
                  if name != 'LD_PRELOAD' and not name.startswith(('PYTHON', 'SLEEPER_')))
    result[processes.MARK] = mark
    result['TMPDIR'] = folder
    if preload:
        result['LD_PRELOAD'] = product.library
    return result


def apart():
    """In the child: a new process group, and no core files. No new session: its leader's first
    terminal would become its controlling terminal, whose end would kill the leader (test_pty)."""
    os.setpgrp()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Trial(object):
    """`for _ in trial.running(): wait a moment` runs it; then `outcome` says how it ended."""

    def __init__(self, product, name, way, folder, log, limit):
        self.product, self.name, self.way = product, name, way
        self.folder, self.log, self.limit = folder, log, limit
        self.mark = folder  # there is only one
        self.account = activation.Account()
        self.outcome = {}
        self.seconds = 0
        self.bystanders = []

    def running(self):
        os.mkdir(self.folder)
        record = os.path.join(self.folder, 'record')
        work = os.path.join(self.folder, 'work')
        os.mkdir(work)
        begun = time.time()
        process = self.start([os.path.join(HERE, 'recorded.py'), record, self.name]
                             + self.product.options, work, open(self.log, 'w'),
                             self.product.preloads(self.way), self.mark)
        loops = []
        if self.way == ASKED:
            loops = [activation.Loop(self.product, process.pid, self.mark)]
        elif self.way == BUSY:
            loops = [self.bystander(work) for _ in range(BYSTANDERS)]
        late = False
        try:
            while process.poll() is None:
                for loop in loops:
                    loop.step()
                if time.time() - begun > self.limit:
                    late = True
                    self.tell_where_it_hangs(process.pid)
                    break
                yield None
            self.seconds = time.time() - begun
        finally:
            processes.kill(processes.family(process.pid, self.mark))
            process.wait()
            for one in self.bystanders:
                one.kill()
                one.wait()
        while not all([loop.settle() for loop in loops]):
            yield None
        if self.way == ASKED:
            self.account = loops[0].account
        self.outcome = read_outcome(record, process.returncode, late)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, arguments, work, output, preload, mark):
        return subprocess.Popen([self.product.python] + arguments, cwd=work,
                                env=environment(self.product, work, mark, preload),
                                stdin=open('/dev/null'), stdout=output, stderr=output,
                                preexec_fn=apart, close_fds=True)

    def bystander(self, work):
        """A process with the agent that only sleeps, and a loop that activates it."""
        mark = '%s-bystander-%d' % (self.mark, len(self.bystanders))
        process = self.start(['-c', 'import time; time.sleep(1e6)'], work, open('/dev/null', 'w'),
                             True, mark)
        self.bystanders.append(process)
        return activation.Loop(self.product, process.pid, mark)

    def tell_where_it_hangs(self, pid):
        """Adds to the log what the processes of a test that hangs are doing."""
        log = open(self.log, 'a')
        for one in processes.family(pid, self.mark):
            command = processes.read(one, 'cmdline').replace('\0', ' ')
            log.write('\n=== not done after %d s: PID %d: %s\n' % (self.limit, one, command))
            for task in os.listdir('/proc/%d/task' % one):
                kept = [processes.read(one, 'task/%s/%s' % (task, what)).strip()
                        for what in ('comm', 'wchan', 'syscall')]
                log.write('  thread %s: %s\n' % (task, ' | '.join(kept)))
            log.flush()
            if processes.carries(one, self.product.library):
                subprocess.call([self.product.activator, str(one)], stdout=log, stderr=log)
        log.close()


def read_outcome(path, status, late):
    """How each method ended, and the whole test (under the empty name)."""
    outcome, result, last = {}, 'no result', ''
    lines = []
    if os.path.exists(path):
        lines = open(path).read().split('\n')
    for line in lines:
        fields = line.split('\t')
        if len(fields) < 3:
            continue
        what, which = fields[:2]
        if what == 'start':
            last = which
        elif what == 'result':
            result, last = which, ''
        else:
            outcome.setdefault(which, []).append(what)
    for which in outcome:
        outcome[which] = ', '.join(outcome[which])
    if late:
        result += ', not done in time'
    elif status < 0:
        result += ', killed by ' + NAMES.get(-status, 'signal %d' % -status)
    else:
        result += ', exit status %d' % status
    if last:
        result += ', in ' + last
    outcome[''] = result
    return outcome

"""The common part of the torture programs: when to go on, and whether all is unchanged.

A program of `life: steady` does its work in rounds that leave nothing behind, and hands one
round to steady(). Most need no more than that.
"""
import ctypes
import gc
import os
import sys
import threading
import time
import traceback
import types

FOLDER = os.environ['TORTURE_FOLDER']
TASKS = '/proc/self/task'
variant = (sys.argv + [''])[1]

ALL = ('descriptors', 'objects', 'references', 'threads')
# References and objects fluctuate by themselves: free lists, caches, the program's own threads.
# So their growth over rounds must stay below their fluctuation plus this slack.
# The interpreter's own caches hold references, and fill for a long time: of 20,000 answers to
# `coroutines` the first half left some 40 more, the second 3. A leak leaves one for every answer.
slack = {'objects': 25, 'references': 150}
# What the agent keeps from its first answer on: its compiled functions, including the functions for
# facts, variables and greenlets, and linecache.
FIRST_ANSWER = 7000
# An agent that comes later brings its thread, and the thread that answers.
if 'TORTURE_BARE' in os.environ:
    slack['threads'] = 2
# The number of rounds that measure how much the counts fluctuate.
SAMPLES = 4

before = {}
waver = {}
_counted = ALL
_samples = []
_asked = 0


class Broken(Exception):
    """A check of the program's own state has failed."""


def check(condition, what):
    if not condition:
        raise Broken(what)


def native():
    """Return the library of C functions twice: its calls keep the GIL, or release it."""
    path = os.path.join(FOLDER, 'native.so')
    return ctypes.PyDLL(path), ctypes.CDLL(path)


def crowd(count, work):
    """Run work(number) in this many threads at once; fail if a thread fails."""
    failed = []

    def run(number):
        try:
            work(number)
        except:
            failed.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    check(not failed, ''.join(failed))


def say(word):
    sys.stdout.write(word + '\n')
    sys.stdout.flush()


def count():
    """Return the counts of everything that a leak would increase."""
    gc.collect()
    found = {'threads': len(os.listdir(TASKS)), 'descriptors': 0,
             'objects': len(gc.get_objects()), 'references': 0}
    if hasattr(sys, 'gettotalrefcount'):
        found['references'] = sys.gettotalrefcount()
    for number in range(256):
        try:
            os.fstat(number)
        except OSError:
            continue
        found['descriptors'] += 1
    return found


def note(samples):
    """From here on, nothing may grow beyond the minimum of these samples."""
    for name in ALL:
        seen = [sample[name] for sample in samples]
        before[name] = min(seen)
        waver[name] = max(max(seen) - min(seen), waver.get(name, 0))


def asked():
    """How many Python modules the agent has made: at the first answer, and the first with greenlets."""
    return len(set([id(one.func_globals) for one in gc.get_objects()
                    if type(one) is types.FunctionType
                    and one.func_globals.get('__name__') == '_sleeper_agent_carried']))


def grown():
    now = count()
    there = asked()
    first = there and (len(_samples) < SAMPLES or there > _asked) and FIRST_ANSWER or 0
    bounds = dict([(name, waver[name] + slack[name] + first) for name in slack])
    bounds['threads'] = slack.get('threads', 0)
    return ['%s: %d, were %d (wavered by %d)' % (name, now[name], before[name], waver[name])
            for name in _counted if now[name] > before[name] + bounds.get(name, 0)]


def ready(work, counted=ALL):
    """Do a few rounds of work, measure how the counts fluctuate by themselves, and say `ready`."""
    global _counted
    _counted = counted
    # 2.6 makes these types' attributes at their first use, be it the agent's.
    sys._getframe().f_code.co_name
    samples = []
    for _ in range(2 + SAMPLES):
        work()
        samples.append(count())
    # The first rounds fill caches.
    note(samples[2:])
    say('ready')


def is_told_to_stop():
    return os.path.exists(os.path.join(FOLDER, 'stop'))


def goes_on():
    """Whether to do another round.

    A first answer leaves the agent's own functions behind, once; after it, a few rounds
    measure the counts anew.
    """
    global _asked
    there = asked()
    if there > _asked:
        _asked = there
        del _samples[:]
    elif _asked and len(_samples) < SAMPLES:
        _samples.append(count())
        if len(_samples) == SAMPLES:
            once = dict(before)
            note(_samples)
            for name in 'threads', 'descriptors':
                before[name] = once[name]
            for name in 'objects', 'references':
                check(name not in _counted or before[name] < once[name] + FIRST_ANSWER,
                      'the first answer left %d %s' % (before[name] - once[name], name))
    return not is_told_to_stop()


def intact(into_file=False):
    """Say `intact` if nothing has leaked. Threads that have just ended get two seconds."""
    patience = time.time() + 2
    while before and grown() and time.time() < patience:
        time.sleep(0.05)
    left = before and grown()
    check(not left, 'leaked: %s' % left)
    if into_file:
        open(os.path.join(FOLDER, 'intact'), 'w').write('intact\n')
    else:
        say('intact')


def steady(work, counted=ALL):
    """The life of most programs: rounds of work until told to stop."""
    ready(work, counted)
    while goes_on():
        work()
    intact()


def waits():
    """The life of tests/targets/waiting.py, until told to stop."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../targets'))
    import waiting

    def fail(what):
        raise Broken(what)

    def leave():
        # Threads of this program still wait.
        say('intact')
        os._exit(0)

    waiting.is_over = is_told_to_stop
    waiting.fail = fail
    waiting.leave = leave
    waiting.main()

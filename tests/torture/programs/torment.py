"""What the tortured programs share: when to go on, and whether all is as it was.

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
# References and objects waver by themselves: free lists, caches, the program's own threads.
# So their growth is looked at over rounds, and must stay below what they wavered by, and this.
# The interpreter's own caches hold references, and fill for a long time: of 20,000 answers to
# `coroutines` the first half left some 40 more, the second 3. A leak leaves one for every answer.
slack = {'objects': 25, 'references': 150}
# What the agent keeps from its first answer on: its compiled functions, those for facts, variables
# and greenlets too, and linecache.
FIRST_ANSWER = 7000
# As many rounds tell how much the counts waver.
SAMPLES = 4

before = {}
waver = {}
_counted = ALL
_samples = []
_asked = 0


class Broken(Exception):
    """Something is not as it must be."""


def check(condition, what):
    if not condition:
        raise Broken(what)


def native():
    """Return the library of C functions twice: keeping the GIL in a call, and without it."""
    path = os.path.join(FOLDER, 'native.so')
    return ctypes.PyDLL(path), ctypes.CDLL(path)


def crowd(count, work):
    """Run work(number) in so many threads at once; fail if one of them fails."""
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
    """Return how many there are of what a leak would add to."""
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
    """From here on, nothing may grow beyond the least that was seen in these samples."""
    for name in ALL:
        seen = [sample[name] for sample in samples]
        before[name] = min(seen)
        waver[name] = max(max(seen) - min(seen), waver.get(name, 0))


def asked():
    """How much Python of the agent's there is: by the first answer, and by the first with greenlets."""
    return len(set([id(one.func_globals) for one in gc.get_objects()
                    if type(one) is types.FunctionType
                    and one.func_globals.get('__name__') == '_sleeper_agent_carried']))


def grown():
    now = count()
    there = asked()
    first = there and (len(_samples) < SAMPLES or there > _asked) and FIRST_ANSWER or 0
    bounds = dict([(name, waver[name] + slack[name] + first) for name in slack])
    return ['%s: %d, were %d (wavered by %d)' % (name, now[name], before[name], waver[name])
            for name in _counted if now[name] > before[name] + bounds.get(name, 0)]


def ready(work, counted=ALL):
    """Do a few rounds of work, see how the counts waver by themselves, and say `ready`."""
    global _counted
    _counted = counted
    samples = []
    for _ in range(2 + SAMPLES):
        work()
        samples.append(count())
    # The first rounds are also the first use of this and that.
    note(samples[2:])
    say('ready')


def goes_on():
    """Whether there is another round to be done.

    A first answer leaves the agent's own functions behind, once; what came before is
    noted anew after it, from a few rounds.
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
    return not os.path.exists(os.path.join(FOLDER, 'stop'))


def intact(into_file=False):
    """Say `intact`, if nothing has leaked. Threads that have just ended get two seconds."""
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

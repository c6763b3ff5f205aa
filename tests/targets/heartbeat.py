"""Sleeping threads, and a heartbeat thread that notices when it is held up.
usage: heartbeat.py COUNT DEPTH [busy]

With "busy" the last of the COUNT threads does not sleep but computes endlessly.

Reads lines: at "begin" it starts counting anew and says "begun", at "end" it prints
"held LONGEST TOTAL" in seconds: the longest gap between two heartbeats, and the sum of all gaps
longer than a millisecond. Whatever holds up Python code counts: a debugger, or another holder of
the GIL.
"""
import sys
import threading
import time

gaps = []
deep = []


def deep_down(depth, last):
    # Ten variables, for questions that ask for variables.
    name, number, real, words = 'deep down', depth * 1000, 0.5, u'so many words'
    pair, numbers, options, none = (depth, last), [1, 2, 3], {'depth': depth, 'last': last}, None
    if depth > 1:
        deep_down(depth - 1, last)
    else:
        deep.append(depth)
        last()


def compute():
    number = 0
    while True:
        number = (number * 5 + 1) % 65536


def beat():
    last = time.time()
    while True:
        time.sleep(0.0002)
        now = time.time()
        gaps.append(now - last)
        last = now


def start(function, *arguments):
    one = threading.Thread(target=function, args=arguments)
    one.setDaemon(True)
    one.start()


def wait_longer(grown):
    # A gap is known only once it is over.
    length = len(grown)
    while len(grown) == length:
        time.sleep(0.0005)


def main():
    gate = threading.Lock()
    gate.acquire()
    threading.stack_size(256 * 1024)
    count, depth = int(sys.argv[1]), int(sys.argv[2])
    # The computing thread comes last: it would delay the start of the others.
    for last in [gate.acquire] * (count - 1) + [
            'busy' in sys.argv and compute or gate.acquire]:
        start(deep_down, depth, last)
    while len(deep) < count:
        time.sleep(0.001)
    start(beat)
    wait_longer(gaps)
    time.sleep(0.2)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    while True:
        line = sys.stdin.readline()
        if line == 'begin\n':
            wait_longer(gaps)
            del gaps[:]
            sys.stdout.write('begun\n')
        elif line == 'end\n':
            wait_longer(gaps)
            seen = gaps[:]
            long_ones = [gap for gap in seen if gap > 0.001]
            sys.stdout.write('held %.6f %.6f\n' % (max(seen), sum(long_ones)))
        else:
            return
        sys.stdout.flush()


main()

"""Sleeping threads, and one that notices when it is held up. usage: heartbeat.py COUNT DEPTH

Reads lines: at "begin" it starts counting anew, at "end" it prints "held LONGEST TOTAL" in
seconds: the longest gap between two heartbeats, and the sum of all that were longer than a
millisecond. Whatever holds up Python code counts: a debugger, or somebody with the GIL.
"""
import sys
import threading
import time

gaps = []


def deep_down(depth, gate):
    if depth > 1:
        deep_down(depth - 1, gate)
    else:
        gate.acquire()


def beat():
    last = time.time()
    while True:
        time.sleep(0.0002)
        now = time.time()
        gaps.append(now - last)
        last = now


def main():
    gate = threading.Lock()
    gate.acquire()
    threading.stack_size(256 * 1024)
    work = [(deep_down, (int(sys.argv[2]), gate))] * int(sys.argv[1]) + [(beat, ())]
    for function, arguments in work:
        one = threading.Thread(target=function, args=arguments)
        one.setDaemon(True)
        one.start()
    time.sleep(0.5)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    while True:
        line = sys.stdin.readline()
        if line == 'begin\n':
            del gaps[:]
            sys.stdout.write('begun\n')
        elif line == 'end\n':
            time.sleep(0.002)
            seen = gaps[:]
            long_ones = [gap for gap in seen if gap > 0.001]
            sys.stdout.write('held %.6f %.6f\n' % (max(seen), sum(long_ones)))
        else:
            return
        sys.stdout.flush()


main()

"""Many sleeping threads. usage: threads.py COUNT DEPTH

Ends with status 7 once it has read a line.
"""
import sys
import threading
import time


def deep_down(depth, gate):
    if depth > 1:
        deep_down(depth - 1, gate)
    else:
        gate.acquire()
        gate.release()


def main():
    count, depth = int(sys.argv[1]), int(sys.argv[2])
    gate = threading.Lock()
    gate.acquire()
    all_threads = []
    for _ in range(count):
        one = threading.Thread(target=deep_down, args=(depth, gate))
        one.start()
        all_threads.append(one)
    time.sleep(0.2)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    gate.release()
    for one in all_threads:
        one.join()
    sys.stdout.write('%d threads joined\n' % len(all_threads))
    sys.exit(7)


main()

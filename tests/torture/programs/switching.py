"""Threads switch at every bytecode, or hardly ever."""
import sys
import threading
import torment

counts = [0] * 4
lock = threading.Lock()


def count_up(number):
    for _ in range(1000):
        counts[number] += 1
        lock.acquire()
        counts[0] += 1
        lock.release()


def work():
    for interval in (1, 100000, 7):
        sys.setcheckinterval(interval)
        counts[:] = [0] * 4
        torment.crowd(3, lambda number: count_up(number + 1))
        torment.check(counts == [3000, 1000, 1000, 1000], 'miscounted: %r' % counts)
        torment.check(sys.getcheckinterval() == interval, 'the interval has changed')


torment.steady(work)

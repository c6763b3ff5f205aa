"""Threads that wait for locks and semaphores of multiprocessing.
usage: process_locks.py

Says "thread WHAT IDENT" of each, "child WHAT PID" of who holds a lock, then "ready"; ends with status 7 at the end of its
input.
"""
from __future__ import with_statement
import multiprocessing
import os
import signal
import sys
import thread
import time

from told_threads import go, say, until_the_end


def enter(lock):
    # To enter it crashes 2.6rc2.
    if sys.version_info < (2, 7):
        lock.acquire()
    else:
        with lock:
            pass


def acquire_and_end(lock):
    lock.acquire()
    os._exit(9)


def acquire_and_stay(lock, event):
    signal.alarm(600)
    lock.acquire()
    event.set()
    while True:
        time.sleep(1000)


def hold(lock):
    lock.acquire()
    time.sleep(1000)


def main():
    dead, elsewhere, own = [multiprocessing.Lock() for _ in range(3)]
    child = multiprocessing.Process(target=acquire_and_end, args=(dead,))
    child.start()
    child.join()
    event = multiprocessing.Event()
    other = multiprocessing.Process(target=acquire_and_stay, args=(elsewhere, event))
    other.start()
    event.wait()
    say('child', 'elsewhere', other.pid)
    again = multiprocessing.RLock()
    go('holder', hold, again)
    go('dead', enter, dead)
    go('elsewhere', elsewhere.acquire)
    own.acquire()
    say('thread', 'main', thread.get_ident())
    go('own', lambda: [0][own.acquire() - 1])
    go('again', enter, again)
    semaphore = multiprocessing.Semaphore(0)
    go('semaphore', semaphore.acquire)
    go('limited', own.acquire, True, 1000)
    until_the_end()
    other.terminate()
    os._exit(7)


main()

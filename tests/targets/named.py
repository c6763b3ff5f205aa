"""Threads that have names and numbers, and that wait.
usage: named.py [busy] [FAULT...]

Says "thread WHAT IDENT" and "tid WHAT TID" of each, then "ready"; at the end of its input it says whether it has
imported marshal, and ends with status 7. With "busy" one of the threads computes.

A FAULT breaks something that an agent might rely on: "active", "class", "marshal".
"""
import ctypes
import sys
import thread
import threading
import time

GETTID = 186
number = ctypes.CDLL(None).syscall
begun = []
shy = []


class Shy(threading.Thread):
    """Any attribute access ends the accessing thread."""

    def __getattribute__(self, name):
        if shy:
            raise SystemExit(name)
        return threading.Thread.__getattribute__(self, name)


def say(what):
    sys.stdout.write('thread %s %d\ntid %s %d\n' % (
        what, thread.get_ident(), what, number(GETTID)))
    sys.stdout.flush()
    begun.append(what)


def wait_on_lock(what, lock):
    say(what)
    lock.acquire()


def sleep():
    say('sleeps')
    time.sleep(1000)


def compute():
    say('computes')
    while True:
        pass


def go(count, start, *arguments):
    start(*arguments)
    while len(begun) < count:
        time.sleep(0.01)


def named(name, work, *arguments):
    kind = 'class' in sys.argv and Shy or threading.Thread
    one = kind(target=work, args=arguments, name=name)
    one.setDaemon(True)
    one.start()


def main():
    locked = threading.Lock()
    locked.acquire()
    say('main')
    go(2, named, 'waits for a \x1b[2Jlock', wait_on_lock, 'waits', locked)
    go(3, named, 'schl\xc3\xa4ft', sleep)
    go(4, thread.start_new_thread, wait_on_lock, ('unnamed', locked))
    if 'busy' in sys.argv:
        go(5, named, 'computes', compute)
    active = threading._active
    if 'class' in sys.argv:
        shy.append(True)
    if 'active' in sys.argv:
        threading._active = Shy
    if 'marshal' in sys.argv:
        sys.modules['marshal'] = None
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write('marshal: %r\n' % ('marshal' in sys.modules))
    del shy[:]
    threading._active = active
    sys.exit(7)


main()

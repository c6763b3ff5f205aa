"""Threads that take and release locks all the time, and never wait for each other for long; and
threads that wait in calls whose arguments' classes notice when their code runs.
usage: hustle.py

Says "ready"; at the end of its input it says what was noticed, "ran []", and ends with status 7.
"""
from __future__ import with_statement
import select
import sys
import thread
import threading
import time

ran = []
ready = []


def notice(name):
    def method(*arguments):
        if ready:
            ran.append(name)
        return 1
    return method


class Meta(type):
    __eq__ = notice('Meta.__eq__')
    __ne__ = notice('Meta.__ne__')
    __nonzero__ = notice('Meta.__nonzero__')
    __len__ = notice('Meta.__len__')

    def __hash__(cls):
        return id(cls)

    def __getattribute__(cls, name):
        if ready:
            ran.append('Meta.' + name)
        return type.__getattribute__(cls, name)


class Number(float):
    __metaclass__ = Meta
    __eq__ = notice('Number.__eq__')
    __nonzero__ = notice('Number.__nonzero__')
    __hash__ = notice('Number.__hash__')


class Readers(list):
    __metaclass__ = Meta
    __eq__ = notice('Readers.__eq__')
    __nonzero__ = notice('Readers.__nonzero__')
    __len__ = notice('Readers.__len__')


class Old:
    __len__ = notice('Old.__len__')
    __eq__ = notice('Old.__eq__')


class Lock(object):
    __metaclass__ = Meta

    def __init__(self):
        self.lock = thread.allocate_lock()

    def __getattribute__(self, name):
        if ready and name != 'lock' and name[:2] != '__':
            ran.append('Lock.' + name)
        return object.__getattribute__(self, name)


def sleep(number):
    time.sleep(number)


def wait_to_read(readers):
    select.select(readers, [], [], 1000)


def wait_in_object(one):
    one.lock.acquire()


def own_lock():
    lock = threading.Lock()
    while True:
        with lock:
            pass


def own_rlock():
    lock = threading.RLock()
    while True:
        lock.acquire()
        with lock:
            pass
        lock.release()


def hold_now_and_then(lock, other):
    while True:
        with lock:
            time.sleep(0.001)
            if other.acquire(False):
                other.release()


def condition(one):
    with one:
        while True:
            one.wait(0.002)
            one.notifyAll()


def condition_without_limit(one):
    with one:
        while True:
            one.wait()


def either(first, second):
    with second:
        (first or second).acquire()


def go(work, *arguments):
    one = threading.Thread(target=work, args=arguments)
    one.setDaemon(True)
    one.start()


def main():
    readers = Readers()
    readers.append(sys.stdin)
    sys.modules['Queue'] = Old()
    locked = Lock()
    locked.lock.acquire()
    gone, first, second = [threading.Lock() for _ in range(3)]
    gone.acquire()
    plain, reentrant = threading.Condition(threading.Lock()), threading.Condition()
    go(sleep, Number(1000.0))
    go(wait_to_read, Readers())
    go(wait_in_object, locked)
    go(either, gone, threading.Lock())
    for _ in range(2):
        go(own_lock)
        go(own_rlock)
    go(hold_now_and_then, first, second)
    go(hold_now_and_then, second, first)
    for one in plain, reentrant:
        for _ in range(2):
            go(condition, one)
            go(condition_without_limit, one)
    time.sleep(0.3)
    ready.append(True)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    del ready[:]
    sys.stdout.write('ran %r\n' % sorted(set(ran)))
    sys.exit(7)


main()

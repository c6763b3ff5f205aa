"""Threads that each wait for a lock, or sleep, in a call that is written in another way.
usage: waits_read.py

Says "thread WHAT IDENT" and "lock WHAT ADDRESS" of each, then "ready"; ends with status 7 at the end of its input.
"""
from __future__ import with_statement
import functools
import sys
import thread
import threading
import time

ways = []


def way(function):
    ways.append(function)
    return function


class Guard(object):
    def __init__(self, lock):
        self.lock = lock

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *raised):
        self.lock.release()


@way
def over_several_lines(lock):
    len([
        lock
        .acquire(
            1
        )
    ])


@way
def in_loop(lock):
    for one in thread.allocate_lock(), lock:
        one.acquire()


@way
def in_while(lock):
    while not lock.acquire() or len('a'):
        pass


@way
def in_condition(lock):
    if len('') or not len('') and (len('') or lock).acquire():
        pass


@way
def by_name(lock):
    getattr(lock, 'acquire')()


@way
def by_item(lock):
    {'a': [None, lock]}['a'][1].acquire()


@way
def with_star(lock):
    lock.acquire(*(True,))


@way
def with_star_of_list(lock):
    lock.acquire(*[1])


@way
def with_stars(lock):
    def take(*them, **more):
        them[0].acquire(*them[1:], **more)
    take(lock, 1)


@way
def with_keywords(lock):
    def take(before, one=None, other=None):
        return one.acquire()
    take(1, other=len, one=lock)


@way
def in_dictionary(lock):
    return {1: 2, 3: [4, lock.acquire()]}


@way
def in_comprehension(lock):
    return [(one, one.acquire()) for one in [lock] if one]


@way
def in_generator(lock):
    return list(one.acquire() for one in [lock])


@way
def in_lambda(lock):
    return map(lambda one: one.acquire(), [lock])


@way
def printed(lock):
    print >>open('/dev/null', 'w'), 'a', lock.acquire()


@way
def with_in_with(lock):
    with thread.allocate_lock():
        for _ in 1, 2:
            with thread.allocate_lock():
                with 'a' and (None or lock):
                    pass


@way
def of_class(lock):
    with Guard(lock) as one:
        return one


@way
def after_except(lock):
    try:
        raise KeyError(1)
    except KeyError, error:
        try:
            len(error, error)
        except:
            lock.acquire()


@way
def finally_of_nothing(lock):
    try:
        pass
    finally:
        for _ in 1, 2:
            lock.acquire()


@way
def finally_of_return(lock):
    try:
        return None
    finally:
        lock.acquire()


@way
def finally_of_exception(lock):
    try:
        try:
            raise KeyError(1)
        finally:
            try:
                for _ in 1, 2:
                    break
            finally:
                len([1, lock.acquire()])
    finally:
        len('a')


@way
def finally_of_break(lock):
    while True:
        try:
            break
        finally:
            with lock:
                pass


@way
def finally_of_continue(lock):
    for _ in 1, 2:
        try:
            continue
        finally:
            lock.acquire()


@way
def by_map(lock):
    map(lock.acquire, [1])


@way
def by_apply(lock):
    apply(lock.acquire, (1,))


@way
def by_partial(lock):
    functools.partial(lock.acquire, 1)()


@way
def by_iterator(lock):
    for _ in iter(lock.acquire, None):
        pass


@way
def sleep_by_map(lock):
    map(time.sleep, [1000.0])


@way
def sleep_in_loop(lock):
    for seconds in 0.01, 1000.0:
        None or time.sleep(*(seconds,))


# Jumps over more than 65,535 bytes have arguments of two parts. A longer way through code is not followed.
exec """
@way
def in_long_code(lock):
    for one in None, lock:
        if one is None:
%s            continue
        (one or
         lock).acquire()
""" % ('            third = one\n' * 6000)


def go(what, function, *arguments):
    def run():
        sys.stdout.write('thread %s %d\n' % (what, thread.get_ident()))
        sys.stdout.flush()
        begun.append(what)
        function(*arguments)
    count = len(begun)
    one = threading.Thread(target=run)
    one.setDaemon(True)
    one.start()
    while len(begun) == count:
        time.sleep(0.001)


begun = []
locks = []
for function in ways:
    lock = thread.allocate_lock()
    lock.acquire()
    locks.append(lock)
    sys.stdout.write('lock %s %d\n' % (function.__name__, id(lock)))
    go(function.__name__, function, lock)
# The call itself is one of C's, without a frame of Python's around it but threading's.
lock = thread.allocate_lock()
lock.acquire()
sys.stdout.write('lock of_thread %d\n' % id(lock))
threading.Thread(target=lock.acquire, args=(1,), name='of_thread').start()
time.sleep(0.3)
for one in threading.enumerate():
    if one.getName() == 'of_thread':
        ident = [key for key, value in threading._active.items() if value is one][0]
        sys.stdout.write('thread of_thread %d\n' % ident)
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
lock.release()
sys.exit(7)

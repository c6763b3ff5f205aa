"""Threads, one for each kind of wait.
usage: waits.py

Says "thread WHAT IDENT" of each, then "ready"; ends with status 7 at the end of its input.
Three of them, one, two and three, wait for each other.
"""
from __future__ import with_statement
import Queue
import sys
import thread
import threading
import time

begun = []
first, third = threading.Lock(), threading.Lock()
second = threading.RLock()
everybody = threading.Event()


class Shop:
    pass


class Till(object):
    pass


def one():
    with first:
        everybody.wait()
        second.acquire()


def two():
    second.acquire()
    second.acquire()
    everybody.wait()
    with third:
        pass


def three():
    with third:
        everybody.wait()
        with first:
            pass


def lock_of_object(shop):
    shop.till.lock.acquire()


def lock_in_closure():
    def take():
        gone.acquire()
    gone = threading.Lock()
    gone.acquire()
    take()


def lock_of_somebody(lock):
    lock.acquire()


def keeper(lock, other):
    lock.acquire()
    time.sleep(1000)


def condition(limit):
    one = threading.Condition()
    one.acquire()
    one.wait(limit)


def condition_taken(one):
    with one:
        pass


def condition_taker(one):
    with one:
        time.sleep(2000)


# Long, and a jump leads into the line of the call.
exec """
def lock_in_long_code(first, second):
%s    (first or
        second).acquire()
""" % ('    third = first\n' * 2000)


def go(what, work, *arguments):
    def run():
        sys.stdout.write('thread %s %d\n' % (what, thread.get_ident()))
        sys.stdout.flush()
        begun.append(what)
        work(*arguments)
    count = len(begun)
    result = threading.Thread(target=run, name=what)
    result.setDaemon(True)
    result.start()
    while len(begun) == count:
        time.sleep(0.01)
    return result


def main():
    shop = Shop()
    shop.till = Till()
    shop.till.lock = threading.Lock()
    shop.till.lock.acquire()
    # Not in variables of this thread.
    shop.long_kept = threading.Lock()
    shop.long_kept.acquire()
    shop.kept = threading.Lock()
    shop.known, keep = threading.Lock(), shop
    getattr(keep.known, 'acquire')()
    guarded = threading.Condition(threading.Lock())
    full = Queue.Queue(2)
    full.put(1)
    full.put(2)
    waited = go('one', one)
    go('two', two)
    go('three', three)
    go('lock_of_object', lock_of_object, shop)
    go('lock_in_closure', lock_in_closure)
    go('lock_in_long_code', lock_in_long_code, shop.long_kept, threading.Lock())
    go('keeper', keeper, shop.kept, shop.known)
    go('lock_of_keeper', lock_of_somebody, shop.known)
    go('lock_of_somebody', lock_of_somebody, shop.kept)
    go('condition', condition, None)
    go('condition_limited', condition, 500.0)
    go('condition_taker', condition_taker, guarded)
    go('condition_taken', condition_taken, guarded)
    go('event', threading.Event().wait)
    go('semaphore', threading.Semaphore(0).acquire)
    go('queue_get', Queue.Queue().get)
    go('queue_put', full.put, 3)
    go('queue_join', full.join)
    go('join', waited.join)
    time.sleep(0.2)
    everybody.set()
    time.sleep(0.3)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    sys.exit(7)


main()

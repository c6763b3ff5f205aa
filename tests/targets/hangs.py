"""A program that hangs.
usage: hangs.py HOW

Says "ready" and hangs in the function HOW.
"""
from __future__ import with_statement
import Queue
import logging
import os
import signal
import sys
import threading
import time


def nested_with():
    lock = threading.Lock()
    with lock:
        for _ in 1, 2:
            with threading.Lock():
                try:
                    with lock:
                        pass
                finally:
                    pass


def start(name, function, *arguments):
    one = threading.Thread(target=function, name=name, args=arguments)
    one.setDaemon(True)
    one.start()
    return one


def abba_in_loop():
    def lock_all(order):
        for one in order:
            one.acquire()
            time.sleep(0.2)
    locks = [threading.Lock() for _ in range(3)]
    start('a', lock_all, locks)
    start('b', lock_all, tuple(locks[::-1]))
    time.sleep(1000)


def abba():
    class Account(object):
        def __init__(self):
            self.lock = threading.Lock()

        def move(self, other):
            self.lock.acquire()
            time.sleep(0.2)
            other.lock.acquire()
    one, other = Account(), Account()
    start('a', one.move, other)
    start('b', other.move, one)
    time.sleep(1000)


def no_abba():
    # Each lock is released before the next one is waited for; the third thread holds both.
    def work(first, second):
        first.acquire()
        first.release()
        ready.append(1)
        second.acquire()
    ready = []
    one, other = threading.Lock(), threading.Lock()
    start('a', work, one, other)
    start('b', work, other, one)
    while len(ready) < 2:
        time.sleep(0.01)
    held = [one, other]
    del one, other
    time.sleep(1000)
    return held


def lock_as_signal():
    done = threading.Lock()

    def work():
        time.sleep(1000)
        done.release()
    done.acquire()
    start('work', work)
    done.acquire()


def reused_ident():
    def dies():
        lock.acquire()

    def innocent():
        time.sleep(0.5)
        with other:
            pass

    def victim():
        with other:
            while not ended:
                time.sleep(0.01)
            lock.acquire()
    lock, other = threading.RLock(), threading.Lock()
    ended = []
    start('victim', victim)
    start('dies', dies).join()
    time.sleep(0.2)
    # It mostly gets the identifier of the one that has ended.
    start('innocent', innocent)
    ended.append(1)
    time.sleep(1000)


class Finalizer(object):
    def __init__(self, queue):
        self.queue = queue

    def __del__(self):
        self.queue.put('at the end')


def queue_reentered():
    queue = Queue.Queue()
    real = queue._put

    def put(item):
        real(item)
        Finalizer(queue)
    queue._put = put
    start('worker', queue.put, 1)
    time.sleep(0.3)
    queue.get()


def signal_reenters():
    queue = Queue.Queue()
    real = queue._put

    def put(item):
        real(item)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.1)
    queue._put = put
    signal.signal(signal.SIGUSR1, lambda *_: queue.put('stop'))
    queue.put('event')


def log_lock_over_fork():
    class Slow(object):
        def write(self, text):
            time.sleep(2)

        def flush(self):
            pass
    logging.basicConfig(stream=Slow())
    start('chatter', logging.warning, 'x')
    time.sleep(0.3)
    child = os.fork()
    if not child:
        logging.root.handlers[0].stream = open(os.devnull, 'w')
        logging.warning('in the child')
        os._exit(0)
    sys.stdout.write('child %d\n' % child)
    sys.stdout.flush()
    os.waitpid(child, 0)


def native_lock_before_patch():
    lock = threading.Lock()
    import gevent.monkey
    gevent.monkey.patch_all()
    lock.acquire()
    with lock:
        pass


sys.stdout.write('ready\n')
sys.stdout.flush()
globals()[sys.argv[1]]()

"""Threads that wait in C, each in a function of the C library.
usage: native_waits.py [forks|runs|gil]

Says "thread WHAT IDENT" of each, then "ready"; ends with status 7 at the end of its input. With "forks" it says "child
process PID": a child waits for a mutex that another thread of the parent's held at the fork. With "runs" one thread runs.
With "gil" one thread keeps the GIL and waits for a mutex, whose holder wants the GIL: "ready" is said just before.
"""
import ctypes
import os
import sys
import thread
import threading
import time

c = ctypes.CDLL(None)
c.sleep.argtypes = [ctypes.c_uint]
mutex, other_mutex, read_write, condition, semaphore = [ctypes.create_string_buffer(64) for _ in range(5)]
begun = []


def holder():
    c.pthread_mutex_lock(mutex)
    c.pthread_rwlock_wrlock(read_write)
    time.sleep(1000)


def in_mutex():
    c.pthread_mutex_lock(mutex)


def in_read_write():
    c.pthread_rwlock_rdlock(read_write)


def in_condition():
    c.pthread_mutex_lock(other_mutex)
    c.pthread_cond_wait(condition, other_mutex)


def in_semaphore():
    c.sem_wait(semaphore)


def in_join():
    number = ctypes.c_ulong()
    c.pthread_create(ctypes.byref(number), None, ctypes.cast(c.sleep, ctypes.c_void_p), ctypes.c_void_p(1000))
    c.pthread_join(number, None)


def below_map():
    map(time.sleep, [1000])


def keeps_gil():
    ctypes.PyDLL(None).pthread_mutex_lock(mutex)


def wants_gil():
    c.pthread_mutex_lock(mutex)
    time.sleep(1)


def runs():
    while True:
        pass


def go(function):
    def run():
        begun.append(thread.get_ident())
        function()
    one = threading.Thread(target=run, name=function.__name__)
    one.setDaemon(True)
    one.start()
    while not begun:
        time.sleep(0.01)
    sys.stdout.write('thread %s %d\n' % (function.__name__, begun.pop()))
    # Until it waits.
    time.sleep(0.1)


def main():
    c.pthread_mutex_init(mutex, None)
    c.pthread_mutex_init(other_mutex, None)
    c.pthread_rwlock_init(read_write, None)
    c.pthread_cond_init(condition, None)
    c.sem_init(semaphore, 0, 0)
    if sys.argv[1:] == ['gil']:
        go(wants_gil)
        sys.stdout.write('thread main %d\nready\n' % thread.get_ident())
        sys.stdout.flush()
        # The command may look for the agent before.
        time.sleep(0.3)
        keeps_gil()
    go(holder)
    if sys.argv[1:] == ['runs']:
        go(runs)
    elif sys.argv[1:]:
        child = os.fork()
        if not child:
            in_mutex()
        sys.stdout.write('child process %d\n' % child)
        time.sleep(0.3)
    else:
        for function in [in_mutex, in_read_write, in_condition, in_semaphore, in_join, below_map]:
            go(function)
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    if sys.argv[1:] == ['forks']:
        os.kill(child, 9)
        os.waitpid(child, 0)
    sys.exit(7)


main()

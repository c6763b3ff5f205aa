"""Two processes that wait for each other.
usage: processes.py queue|pipes|locks|semaphores|held|talk FOLDER

queue: a child is joined before its queue is read. pipes: each reads what the other would write. locks: each has locked
a file, and waits for the other's. semaphores: the same with locks of multiprocessing. held: one of them waits for the
other's lock, and the other sleeps. talk: each waits for the other in turn, so that they go on for ever.

Says "child is PID" and "ready". The child ends by itself after ten minutes at the latest.
"""
import fcntl
import multiprocessing
import os
import signal
import sys
import time


def ready(child):
    sys.stdout.write('child is %d\nready\n' % child)
    sys.stdout.flush()


def put(queue):
    signal.alarm(600)
    for _ in range(20000):
        queue.put('x' * 100)


def join_before_get():
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=put, args=(queue,))
    child.start()
    ready(child.pid)
    child.join()


def forked():
    child = os.fork()
    if child == 0:
        signal.alarm(600)
    return child


def read_each_other():
    one, other = os.pipe(), os.pipe()
    child = forked()
    if child == 0:
        os.read(one[0], 1)
        os.write(other[1], 'x')
    else:
        ready(child)
        os.read(other[0], 1)
        os.write(one[1], 'x')


def lock_each_other(folder):
    paths = [os.path.join(folder, name) for name in ('one', 'other')]
    child = forked()
    if child == 0:
        paths.reverse()
    first, second = [open(path, 'a+') for path in paths]
    # Of locks of lockf the kernel finds deadlocks itself.
    fcntl.flock(first, fcntl.LOCK_EX)
    if child:
        ready(child)
    time.sleep(0.5)
    fcntl.flock(second, fcntl.LOCK_EX)


def enter_each_other(waits):
    first, second = multiprocessing.Lock(), multiprocessing.Lock()
    child = forked()
    if child == 0:
        first, second = second, first
    first.acquire()
    if child:
        ready(child)
    time.sleep(0.5)
    if child or waits:
        second.acquire()
    time.sleep(600)


def talk():
    one, other = os.pipe(), os.pipe()
    child = forked()
    if child == 0:
        reader, writer = one[0], other[1]
    else:
        reader, writer = other[0], one[1]
        ready(child)
        os.write(writer, 'x')
    while True:
        os.read(reader, 1)
        time.sleep(0.003)
        os.write(writer, 'x')


{
    'queue': lambda folder: join_before_get(),
    'pipes': lambda folder: read_each_other(),
    'locks': lock_each_other,
    'semaphores': lambda folder: enter_each_other(True),
    'held': lambda folder: enter_each_other(False),
    'talk': lambda folder: talk(),
}[sys.argv[1]](sys.argv[2])

"""Threads that wait for locks on files which this process or another holds.
usage: file_locks.py FOLDER

Says "thread WHAT IDENT" of each, "number WHAT NUMBER" of its descriptor and "child WHAT PID" of who holds the lock,
then "ready"; ends with status 7 at the end of its input.
"""
import fcntl
import os
import signal
import subprocess
import sys
import time

from told_threads import go, say, until_the_end

children = []
kept = []


def waits(what, number, lock, *arguments):
    say('number', what, number)
    go(what, lock, number, fcntl.LOCK_EX, *arguments)


def opened(folder, what):
    one = open(os.path.join(folder, what), 'a+')
    kept.append(one)
    return one.fileno()


def holds(what, folder, lock, how, *arguments):
    """Another process holds the lock."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        os.close(reader)
        lock(opened(folder, what), how, *arguments)
        os.close(writer)
        while True:
            time.sleep(1000)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    say('child', what, child)
    children.append(child)


def inherits(folder):
    """Another process has inherited the open file, and this one has closed it."""
    path = os.path.join(folder, 'inherited')
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(number, fcntl.LOCK_EX)
    child = subprocess.Popen(['sleep', '1000'], close_fds=True, stdin=number)
    os.close(number)
    say('child', 'inherited', child.pid)
    children.append(child.pid)


def main():
    folder = sys.argv[1]
    holds('flock', folder, fcntl.flock, fcntl.LOCK_SH)
    holds('lockf', folder, fcntl.lockf, fcntl.LOCK_EX, 10, 5)
    inherits(folder)
    fcntl.flock(opened(folder, 'own'), fcntl.LOCK_EX)
    waits('flock', opened(folder, 'flock'), fcntl.flock)
    waits('lockf', opened(folder, 'lockf'), fcntl.lockf, 20)
    waits('inherited', opened(folder, 'inherited'), fcntl.flock)
    waits('own', opened(folder, 'own'), fcntl.flock)
    until_the_end(children)
    sys.exit(7)


main()

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
import thread
import threading
import time

begun = []
children = []
kept = []


def say(what, name, value):
    sys.stdout.write('%s %s %s\n' % (what, name, value))
    sys.stdout.flush()


def go(what, number, lock, *arguments):
    def run():
        say('thread', what, thread.get_ident())
        begun.append(what)
        lock(number, fcntl.LOCK_EX, *arguments)
    say('number', what, number)
    count = len(begun)
    one = threading.Thread(target=run, name=what)
    one.setDaemon(True)
    one.start()
    while len(begun) == count:
        time.sleep(0.01)


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
    go('flock', opened(folder, 'flock'), fcntl.flock)
    go('lockf', opened(folder, 'lockf'), fcntl.lockf, 20)
    go('inherited', opened(folder, 'inherited'), fcntl.flock)
    go('own', opened(folder, 'own'), fcntl.flock)
    time.sleep(0.5)
    say('all', 'are', 'there')
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    for child in children:
        os.kill(child, 9)
    sys.exit(7)


main()

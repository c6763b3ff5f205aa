"""Threads that wait on one end of a pipe, a FIFO or a socket whose other end this process or another has.
usage: other_ends.py FOLDER

Says "thread WHAT IDENT" of each, "number WHAT NUMBER" of its descriptor and "child WHAT PID" of who has the
other end, then "ready"; ends with status 7 at the end of its input.
"""
import os
import signal
import socket
import subprocess
import sys

from told_threads import go, say, until_the_end

children = []


def waits(what, number, work):
    say('number', what, number)
    go(what, work)


def sleeps_with(what, **streams):
    child = subprocess.Popen(['sleep', '1000'], close_fds=True, **streams)
    say('child', what, child.pid)
    children.append(child.pid)


def read_too():
    """Another process reads the pipe, and is the only one that could write to it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        while True:
            os.read(reader, 1)
    os.close(writer)
    say('child', 'too', child)
    children.append(child)
    return reader


def main():
    folder = sys.argv[1]
    reader = read_too()
    waits('too', reader, lambda: os.read(reader, 1))
    nobody = os.pipe()
    waits('nobody', nobody[0], lambda: os.read(nobody[0], 1))
    kept = os.pipe()
    sleeps_with('kept', stdout=kept[1])
    os.close(kept[1])
    waits('kept', kept[0], lambda: os.read(kept[0], 1))
    full = os.pipe()
    sleeps_with('full', stdin=full[0])
    os.close(full[0])
    waits('full', full[1], lambda: os.write(full[1], 'x' * 100000))
    path = os.path.join(folder, 'a fifo')
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    sleeps_with('fifo', stderr=writer)
    os.close(writer)
    again = os.open(path, os.O_RDONLY)
    waits('fifo', again, lambda: os.read(again, 1))
    one, other = socket.socketpair()
    sleeps_with('pair', stdin=other.fileno())
    other.close()
    waits('pair', one.fileno(), lambda: one.recv(1))
    both = socket.socketpair()
    waits('own', both[0].fileno(), lambda: both[0].recv(1))
    until_the_end(children)
    sys.exit(7)


main()

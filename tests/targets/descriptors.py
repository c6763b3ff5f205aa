"""Threads that wait for descriptors, for a child and for an import.
usage: descriptors.py FOLDER

Says "thread WHAT IDENT" of each, "at WHAT ADDRESS" of sockets, "number WHAT NUMBER" of descriptors
and of the child, then "ready"; ends with status 7 at the end of its input.
"""
import os
import select
import socket
import subprocess
import sys
import time

from told_threads import go, say, until_the_end

kept = []


def address(of):
    return '%s:%d' % of[:2]


def tcp():
    """Return the two ends of a connection."""
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen(1)
    here = socket.socket()
    here.connect(listener.getsockname())
    there = listener.accept()[0]
    listener.close()
    kept.append((here, there))
    return here, there


def named(what, one):
    """Say a socket's number and its address; return it."""
    say('number', what, one.fileno())
    say('at', what, address(one.getsockname()))
    try:
        say('peer', what, address(one.getpeername()))
    except socket.error:
        pass
    return one


def limited(one):
    one.settimeout(1000)
    return one


def listener():
    one = socket.socket()
    kept.append(one)
    one.bind(('127.0.0.1', 0))
    one.listen(1)
    return one


def full():
    """Return the address of a listening socket that accepts no more connections."""
    one = socket.socket()
    one.bind(('127.0.0.1', 0))
    one.listen(0)
    kept.append(one)
    for _ in range(4):
        more = socket.socket()
        more.setblocking(False)
        more.connect_ex(one.getsockname())
        kept.append(more)
    time.sleep(0.1)
    return one.getsockname()


def connect(what, one, there):
    one.bind(('127.0.0.1', 0))
    say('number', what, one.fileno())
    say('at', what, address(one.getsockname()))
    say('peer', what, address(there))
    go(what, one.connect, there)


def write(one):
    while True:
        one.send('x' * 100000)


def main():
    folder = sys.argv[1]
    for what, one in ('recv', tcp()[0]), ('recv_limited', limited(tcp()[0])):
        go(what, named(what, one).recv, 1)
    for what, one in ('send', tcp()[0]), ('send_limited', limited(tcp()[0])):
        go(what, write, named(what, one))
    for what, one in ('accept', listener()), ('accept_limited', limited(listener())):
        go(what, named(what, one).accept)
    there = full()
    connect('connect', socket.socket(), there)
    connect('connect_limited', limited(socket.socket()), there)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(('127.0.0.1', 0))
    go('udp', named('udp', udp).recvfrom, 1)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(os.path.join(folder, 'a socket'))
    unix.listen(1)
    say('number', 'unix', unix.fileno())
    go('unix', unix.accept)
    pair = socket.socketpair()
    say('number', 'pair', pair[0].fileno())
    go('pair', pair[0].recv, 1)
    pipe = os.pipe()
    say('number', 'pipe', pipe[0])
    go('pipe', os.read, pipe[0], 1)
    fifo = os.path.join(folder, 'a fifo\n')
    os.mkfifo(fifo)
    fifo = os.open(fifo, os.O_RDWR)
    say('number', 'fifo', fifo)
    go('fifo', os.read, fifo, 1)
    first, second = named('first', tcp()[0]), named('second', tcp()[0])
    two = first.fileno(), second.fileno()
    go('select', select.select, two, [], two[:1])
    go('select_limited', select.select, [pipe[0]], [], [], 1000)
    poll = select.poll()
    for number in two:
        poll.register(number, select.POLLIN | select.POLLPRI)
    go('poll', poll.poll)
    many = select.poll()
    for number in range(20):
        many.register(os.dup(pipe[0]), select.POLLIN)
    go('poll_many', many.poll, 1000000)
    epoll = select.epoll()
    for number in two:
        epoll.register(number, select.EPOLLIN)
    say('number', 'epoll', epoll.fileno())
    go('epoll', epoll.poll)
    child = subprocess.Popen(['sleep', '1000'], close_fds=True)
    say('number', 'child', child.pid)
    go('child', child.wait)
    until_the_end([child.pid])
    sys.exit(7)


main()

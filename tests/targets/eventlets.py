"""eventlet greenlets, one for each kind of wait.
usage: eventlets.py

Says "greenlet WHAT ID" and "thing WHAT ID" of each, then "ready"; ends with status 7 at the end of
its input.
"""
import os
import sys
import eventlet
import eventlet.event
import eventlet.hubs
import eventlet.queue
import eventlet.semaphore
from eventlet.green import socket

event = eventlet.event.Event()
semaphore = eventlet.semaphore.Semaphore(0)
empty = eventlet.queue.Queue()
full = eventlet.queue.Queue(1)
full.put(1)
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(1)
many = 'x' * 1000


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def sleeps():
    number, secret_word, large = 7, 'rosebud', many
    eventlet.sleep(1000)


def waits_for_event():
    event.wait()


def waits_for_semaphore():
    semaphore.acquire()


def gets():
    empty.get()


def puts():
    full.put(2)


def accepts():
    server.accept()


def joins():
    greenlets['sleeps'].wait()


greenlets = {}
for function in (
        sleeps, waits_for_event, waits_for_semaphore, gets, puts, accepts, joins):
    greenlets[function.__name__] = eventlet.spawn(function)
eventlet.sleep(0.05)
things = {'event': event, 'semaphore': semaphore, 'empty': empty, 'full': full}
for what, one in sorted(greenlets.items()):
    say('greenlet %s %d' % (what, id(one)))
for what, one in sorted(things.items()):
    say('thing %s %d' % (what, id(one)))
say('socket %d' % server.fileno())
say('ready')
eventlet.hubs.trampoline(0, read=True)
sys.stdin.readline()
os._exit(7)

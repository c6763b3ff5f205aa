"""Greenlets of gevent that wait for each other.
usage: greenlet_circles.py patched|native

patched: locks of the patched module threading and of gevent.lock. native: the main greenlet waits for a
lock of the interpreter's own, which a suspended greenlet holds.
Says "greenlet WHAT ID", "thing WHAT ID" and "thread main IDENT", then "ready"; ends with status 7 at the
end of its input.
"""
import os
import sys
import thread
import threading

native = thread.allocate_lock()
start_new_thread, ident = thread.start_new_thread, thread.get_ident()
import gevent.monkey
if 'patched' in sys.argv:
    gevent.monkey.patch_all()
import gevent
import gevent.lock


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def end(read):
    while read(0, 1) not in ('', '\n'):
        pass
    os._exit(7)


start_new_thread(end, (gevent.monkey.get_original('os', 'read'),))
say('thread main %d' % ident)
lock, rlock, once = threading.Lock(), threading.RLock(), gevent.lock.BoundedSemaphore(1)
several, rlock_of_gevent = gevent.lock.BoundedSemaphore(3), gevent.lock.RLock()
# Somebody who is in no `with` block has it too.
shared = gevent.lock.BoundedSemaphore(2)
shared.acquire()


def takes(first, second, timeout=None):
    with first:
        gevent.sleep(0.05)
        if timeout is None:
            with second:
                pass
        else:
            second.acquire(timeout=timeout)


def joins(name):
    greenlets[name].join()


def holds():
    with native:
        gevent.sleep(1000)


greenlets = {}
things = {'native': native, 'lock': lock, 'rlock': rlock, 'once': once,
          'rlock_of_gevent': rlock_of_gevent, 'shared': shared}
if sys.argv[1] == 'patched':
    free, limited, another = threading.Lock(), threading.Lock(), threading.Lock()
    for what, function, arguments in [
            ('first', takes, (lock, rlock)), ('second', takes, (rlock, once)),
            ('third', takes, (once, rlock_of_gevent)), ('fourth', takes, (rlock_of_gevent, lock)),
            # It waits for one of the circle.
            ('outside', takes, (free, lock)),
            # These go on by themselves.
            ('limited', takes, (limited, free, 1000)), ('waits_for_limited', takes, (several, limited)),
            # Others have the semaphore too.
            ('has_shared', takes, (shared, another)), ('wants_shared', takes, (another, shared)),
            ('joins_joined', joins, ('joined',)), ('joined', joins, ('joins_joined',))]:
        greenlets[what] = gevent.spawn(function, *arguments)
else:
    greenlets['holds'] = gevent.spawn(holds)
gevent.sleep(0.2)
for what in greenlets:
    say('greenlet %s %d' % (what, id(greenlets[what])))
for what in things:
    say('thing %s %d' % (what, id(things[what])))
say('ready')
if sys.argv[1] == 'native':
    native.acquire()
else:
    gevent.sleep(1000)

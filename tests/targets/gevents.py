"""gevent greenlets, one for each kind of wait.
usage: gevents.py [blocks|many]

Says "greenlet WHAT ID" and "thing WHAT ID" of each, then "ready"; ends with status 7 at the end of
its input, after a line that says whether references are left. Until then its main greenlet waits in
the hub; with `blocks` it blocks the thread, and no other runs. With `many` there are 10,100 more.
"""
import os
import sys
import gevent
import gevent.event
import gevent.lock
import gevent.queue
import gevent.socket

event = gevent.event.Event()
result = gevent.event.AsyncResult()
semaphore = gevent.lock.Semaphore(0)
empty = gevent.queue.Queue()
full = gevent.queue.Queue(2)
full.put(1)
full.put(2)
here, there = gevent.socket.socketpair()
many = 'x' * 1000


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def sleeps():
    number, secret_word, large = 7, 'rosebud', many
    gevent.sleep(1000)


def waits_for_event():
    event.wait()


def waits_for_event_limited():
    event.wait(timeout=1000)


def waits_for_result():
    result.get()


def waits_for_semaphore():
    with semaphore:
        pass


def gets():
    empty.get()


def puts():
    full.put(3)


def receives():
    here.recv(10)


def joins():
    sleeper.join()


def parks():
    gevent.get_hub().switch()


class Named(gevent.Greenlet):
    ran = []

    # Any access through its class runs this.
    @property
    def gr_frame(self):
        self.ran.append('gr_frame')

    @property
    def parent(self):
        self.ran.append('parent')

    def __nonzero__(self):
        self.ran.append('__nonzero__')
        return False

    def __repr__(self):
        self.ran.append('__repr__')
        return 'a repr'

    def _run(self):
        gevent.sleep(1000)


greenlets = {}
for function in (
        sleeps, waits_for_event, waits_for_event_limited, waits_for_result,
        waits_for_semaphore, gets, puts, receives, parks):
    greenlets[function.__name__] = gevent.spawn(function)
gevent.sleep(0)
sleeper = greenlets['sleeps']
greenlets['joins'] = gevent.spawn(joins)
# Its stack has only C functions.
greenlets['frameless'] = gevent.spawn(event.wait)
greenlets['named'] = Named()
greenlets['named'].name = 'a name \x1b[2J'
greenlets['named'].start()
gevent.sleep(0.05)
# A greenlet in a queue does not wait for the queue.
holds = gevent.queue.Queue()
holds.put(greenlets['parks'].switch)
channel = gevent.queue.Channel()
given = gevent.queue.Queue(1)
given.put(1)
for one in channel, given:
    greenlets['puts_%s' % type(one).__name__] = gevent.spawn(one.put, greenlets['parks'])
more = [gevent.spawn(sleeps) for _ in range('many' in sys.argv and 10100 or 0)]
gevent.sleep(0.05)
not_begun = [gevent.Greenlet(sleeps), gevent.Greenlet(sleeps)]
things = {'event': event, 'result': result, 'semaphore': semaphore, 'empty': empty, 'full': full,
          'channel': channel, 'given': given}
for what, one in sorted(greenlets.items()):
    say('greenlet %s %d' % (what, id(one)))
for what, one in sorted(things.items()):
    say('thing %s %d' % (what, id(one)))
say('socket %d' % here.fileno())
say('main %d' % id(gevent.getcurrent()))
say('hub %d' % id(gevent.get_hub()))
before = [sys.getrefcount(one) for one in greenlets.values() + things.values()]
modules = sorted(sys.modules)
say('ready')
if 'blocks' not in sys.argv:
    gevent.socket.wait_read(0)
sys.stdin.readline()
after = [sys.getrefcount(one) for one in greenlets.values() + things.values()]
say('left %s, ran %s' % (before != after or modules != sorted(sys.modules), Named.ran))
sys.stdout.flush()
os._exit(7)

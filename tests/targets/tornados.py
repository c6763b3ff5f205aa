"""Generators driven by Tornado, one for each kind of wait.
usage: tornados.py [many]

Says "thing WHAT ID" of each awaited object, then "ready". After a line of input it says whether
references are left, and lets all generators but one end; then it says "ended", and after another
line it ends with status 7. With `many` there are 20,100 more generators.
"""
import gc
import os
import sys
import tornado.gen
import tornado.ioloop
import tornado.iostream
import tornado.locks
import tornado.queues
import socket
from tornado.concurrent import Future

loop = tornado.ioloop.IOLoop.current()
plain = Future()
together = Future()
event = tornado.locks.Event()
semaphore = tornado.locks.Semaphore(0)
empty = tornado.queues.Queue()
full = tornado.queues.Queue(1)
full.put_nowait(1)
here, there = socket.socketpair()
stream = tornado.iostream.IOStream(here)
over = Future()
limit = tornado.gen.with_timeout(loop.time() + 1000, over)
told = Future()
many = 'x' * 1000
# A timer that has fired and is kept; and an object waiting to be put into a queue, that nobody awaits.
kept_timer = loop.call_later(0, lambda: None)
full_of_futures = tornado.queues.Queue(1)
full_of_futures.put_nowait(1)
put = full_of_futures.put(told)


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


@tornado.gen.coroutine
def innermost():
    yield plain


@tornado.gen.coroutine
def middle():
    for _ in range(2):
        yield innermost()


@tornado.gen.coroutine
def outermost():
    yield middle()


@tornado.gen.coroutine
def joined():
    yield together


@tornado.gen.coroutine
def joins():
    yield [joined(), joined()]


@tornado.gen.coroutine
def limits():
    yield tornado.gen.with_timeout(loop.time() + 1000, joined())


@tornado.gen.coroutine
def limits_future():
    yield limit


@tornado.gen.coroutine
def waits_for_what_is_put():
    yield told


@tornado.gen.coroutine
def mentions():
    # A generator that a callback of `plain` merely mentions does not wait for `plain`.
    yield plain


@tornado.gen.coroutine
def sleeps():
    number, secret_word, large = 7, 'rosebud', many
    yield tornado.gen.sleep(1000)


@tornado.gen.coroutine
def waits_for_event():
    yield event.wait()


@tornado.gen.coroutine
def waits_for_semaphore():
    yield semaphore.acquire()


@tornado.gen.coroutine
def gets():
    yield empty.get()


@tornado.gen.coroutine
def puts():
    yield full.put(2)


@tornado.gen.coroutine
def reads():
    yield stream.read_bytes(1)


@tornado.gen.coroutine
def one_of_many():
    yield over


@tornado.gen.coroutine
def finished():
    yield tornado.gen.moment


@tornado.gen.coroutine
def runs():
    # Not before `finished` has ended and Python has cleaned up after it.
    yield tornado.gen.sleep(0.2)
    ready()
    # During the questions this generator is among the thread's frames.
    sys.stdin.readline()
    raise tornado.gen.Return('ran')


@tornado.gen.coroutine
def waits_for_what_runs():
    yield runs()


more = [one_of_many() for _ in range('many' in sys.argv and 20100 or 0)]
kept = [finished()] + [one() for one in (
    outermost, joins, limits, limits_future, sleeps, waits_for_event, waits_for_semaphore, gets,
    puts, reads, waits_for_what_is_put, mentions)]
kept[-1].add_done_callback((lambda mentioned: lambda _: mentioned)(told))
things = {
    'plain': plain, 'together': together, 'event': event, 'semaphore': semaphore, 'empty': empty,
    'full': full, 'stream': stream, 'over': over, 'limit': limit, 'told': told}
for what in sorted(things):
    say('thing %s %d' % (what, id(things[what])))
modules = []
counts = []


def counted():
    return [sys.getrefcount(one) for one in kept + list(things.values())]


def begin():
    loop.add_future(waits_for_what_runs(), lambda _: end())


def ready():
    counts.append(counted())
    modules.append(sorted(sys.modules))
    say('ready')


def end():
    counts.append(counted())
    modules.append(sorted(sys.modules))
    say('left %s' % (counts[0] != counts[1] or modules[0] != modules[1]))
    for future in (plain, together, over, told):
        future.set_result(None)
    event.set()
    semaphore.release()
    empty.put_nowait(1)
    full.get_nowait()
    there.send('x')
    loop.call_later(0.1, ended)


def ended():
    say('ended')
    sys.stdin.readline()
    os._exit(7)


loop.add_callback(begin)
loop.start()

"""Generators driven by Twisted, one for each kind of wait.
usage: twisteds.py [many]

Works like tornados.py.
"""
import os
import sys
from twisted.internet import reactor
from twisted.internet.defer import (
    Deferred, DeferredList, DeferredLock, DeferredQueue, DeferredSemaphore, gatherResults,
    inlineCallbacks, succeed)
from twisted.internet.task import deferLater

plain = Deferred()
together = []
over = []
lock = DeferredLock()
lock.acquire()
semaphore = DeferredSemaphore(1)
semaphore.acquire()
empty = DeferredQueue()
list_of_one = DeferredList([Deferred()])
plain_later = Deferred()
later = deferLater(reactor, 0, lambda: plain_later)
limited = Deferred()
many = 'x' * 1000
kept_timers = [reactor.callLater(1000, limited.cancel), reactor.callLater(900, id, limited)]


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def new(them):
    them.append(Deferred())
    return them[-1]


@inlineCallbacks
def innermost():
    yield plain


@inlineCallbacks
def middle():
    # This Deferred has already been called back.
    yield succeed(None)
    yield innermost()


@inlineCallbacks
def outermost():
    yield middle()


@inlineCallbacks
def joined():
    yield new(together)


@inlineCallbacks
def joins():
    yield gatherResults([joined(), joined()])


@inlineCallbacks
def limits():
    # A Deferred whose callback returns another Deferred.
    yield succeed(None).addCallback(lambda _: joined())


@inlineCallbacks
def lists():
    yield list_of_one


@inlineCallbacks
def sleeps():
    number, secret_word, large = 7, 'rosebud', many
    yield deferLater(reactor, 1000, lambda: None)


@inlineCallbacks
def slept():
    # The timer is kept, and has fired.
    yield later


@inlineCallbacks
def limits_deferred():
    yield limited


@inlineCallbacks
def waits_for_lock():
    yield lock.acquire()


@inlineCallbacks
def waits_for_semaphore():
    yield semaphore.acquire()


@inlineCallbacks
def gets():
    yield empty.get()


@inlineCallbacks
def one_of_many():
    yield new(over)


@inlineCallbacks
def finished():
    yield succeed(None)


@inlineCallbacks
def runs():
    yield deferLater(reactor, 0.2, lambda: None)
    ready()
    # During the questions this generator is among the thread's frames.
    sys.stdin.readline()


@inlineCallbacks
def waits_for_what_runs():
    yield runs()


more = [one_of_many() for _ in range('many' in sys.argv and 20100 or 0)]
kept = [finished()] + [one() for one in (
    outermost, joins, limits, lists, sleeps, slept, limits_deferred, waits_for_lock,
    waits_for_semaphore, gets)]
things = {
    'plain': plain, 'list': list_of_one, 'lock': lock, 'semaphore': semaphore, 'empty': empty,
    'limited': limited, 'later': later}
for index, one in enumerate(together):
    things['together_%d' % index] = one
for what in sorted(things):
    say('thing %s %d' % (what, id(things[what])))
modules = []
counts = []


def counted():
    return [sys.getrefcount(one) for one in kept + list(things.values())]


def begin():
    waits_for_what_runs().addCallback(lambda _: end())


def ready():
    counts.append(counted())
    modules.append(sorted(sys.modules))
    say('ready')


def end():
    counts.append(counted())
    modules.append(sorted(sys.modules))
    say('left %s' % (counts[0] != counts[1] or modules[0] != modules[1]))
    for timer in kept_timers:
        timer.cancel()
    for one in [plain, list_of_one, plain_later, limited] + together + over:
        one.callback(None)
    lock.release()
    semaphore.release()
    empty.put(1)
    reactor.callLater(0.1, ended)


def ended():
    say('ended')
    sys.stdin.readline()
    os._exit(7)


reactor.callWhenRunning(begin)
reactor.run()

"""A lock is held by a generator that is suspended.
usage: held_over_yield.py twisted|tornado|plain

Says "thing lock ID" and "thread main IDENT", then "ready". twisted, tornado: the loop's thread waits for the
lock. plain: nobody drives the generator. Ends with status 7 at the end of its input.
"""
import os
import sys
import thread
import threading

lock = threading.Lock()


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def end():
    sys.stdin.readline()
    os._exit(7)


def ready():
    say('ready')


reader = threading.Thread(target=end)
reader.daemon = True
reader.start()
say('thing lock %d' % id(lock))
say('thread main %d' % thread.get_ident())
if sys.argv[1] == 'twisted':
    from twisted.internet import defer, reactor, task

    @defer.inlineCallbacks
    def keeps():
        with lock:
            yield task.deferLater(reactor, 0.2, lambda: None)

    def again():
        ready()
        keeps()

    reactor.callLater(0, keeps)
    reactor.callLater(0.1, again)
    reactor.run()
elif sys.argv[1] == 'tornado':
    import tornado.gen
    import tornado.ioloop
    loop = tornado.ioloop.IOLoop.current()

    @tornado.gen.coroutine
    def keeps():
        with lock:
            yield tornado.gen.sleep(0.2)

    def again():
        ready()
        keeps()

    loop.call_later(0, keeps)
    loop.call_later(0.1, again)
    loop.start()
else:
    def keeps():
        with lock:
            yield

    # It has ended, and holds nothing.
    for _ in keeps():
        pass
    kept = keeps()
    next(kept)
    ready()
    with lock:
        pass

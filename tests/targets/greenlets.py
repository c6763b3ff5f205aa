"""Greenlets of two threads, and of a thread that has ended.
usage: greenlets.py [collector]

Says "greenlet WHAT ID" of each, "thread WHAT IDENT", then "ready"; ends with status 7 at the end of
its input, after a line that says which of its own code has run. With `collector` it replaces
functions of the module gc.
"""
import gc
import os
import sys
import thread
import threading
from greenlet import getcurrent, greenlet

ran = []
many = 'x' * 1000


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


class Odd(greenlet):
    # Any access through its class runs this.
    def __getattribute__(self, name):
        ran.append(name)
        return greenlet.__getattribute__(self, name)

    def __nonzero__(self):
        ran.append('__nonzero__')
        return False

    def __eq__(self, other):
        ran.append('__eq__')
        return False

    def __hash__(self):
        ran.append('__hash__')
        return 1


def outer(back):
    inner(back)


def inner(back):
    number, secret_word, large = 7, 'rosebud', many
    back.switch()


def uses_greenlets(what):
    main = getcurrent()
    kept[what + ' first'] = main
    for name, kind in (('plain', greenlet), ('odd', Odd)):
        one = kind(outer)
        kept['%s %s' % (what, name)] = one
        one.switch(main)
    kept[what + ' ended'] = one = greenlet(lambda: None)
    one.switch()
    kept[what + ' not begun'] = greenlet(outer)
    # This thread runs in a greenlet of its own, and its first greenlet is suspended.
    if what == 'second':
        kept['second current'] = greenlet(stays)
        kept['second current'].switch(what)
    elif what == 'main':
        kept['main current'] = main


def stays(what):
    say('thread %s %d' % (what, thread.get_ident()))
    begun.set()
    threading.Event().wait()


kept = {}
begun = threading.Event()
ended = threading.Thread(target=uses_greenlets, args=('ended',))
ended.start()
ended.join()
second = threading.Thread(target=uses_greenlets, args=('second',))
second.setDaemon(True)
second.start()
begun.wait()
say('thread main %d' % thread.get_ident())
uses_greenlets('main')
for what, one in sorted(kept.items()):
    say('greenlet %s %d' % (what.replace(' ', '_'), id(one)))
if 'collector' in sys.argv:
    gc.get_objects = gc.get_referents = lambda *those: ran.append('collector') or []
del ran[:]
say('ready')
sys.stdin.readline()
say('ran %s' % ran)
os._exit(7)

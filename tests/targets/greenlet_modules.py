"""A program without greenlets, or with nonsense in place of their modules.
usage: greenlet_modules.py [classes|objects|no_modules|collector]

Ends with status 7 at the end of its input, after a line that says which modules have been imported
since, and which of its own code has run.
"""
import gc
import os
import sys
import types

ran = []


class Meta(type):
    def __getattribute__(cls, name):
        ran.append(name)
        return type.__getattribute__(cls, name)

    def __instancecheck__(cls, one):
        ran.append('__instancecheck__')
        return True

    def mro(cls):
        return type.mro(cls)


class greenlet(object):
    @property
    def gr_frame(self):
        ran.append('gr_frame')

    parent = dead = gr_frame

    def __nonzero__(self):
        ran.append('__nonzero__')
        return True


class Strange(object):
    __metaclass__ = Meta

    def __getattribute__(self, name):
        ran.append(name)


NAMES = (
    'greenlet', 'greenlet._greenlet', 'gevent.hub', 'gevent.event', 'gevent.lock', 'gevent.queue',
    'eventlet.hubs', 'eventlet.greenthread')
what = sys.argv[1:] and sys.argv[1]
kept = [greenlet(), Strange()]
modules = sys.modules
if what == 'classes':
    for name, one in zip(NAMES, (greenlet, Strange, Strange, object, list, dict, Meta, Strange)):
        module = sys.modules[name] = types.ModuleType(name)
        for attribute in ('greenlet', 'Hub', 'Event', 'Semaphore', 'Queue', 'sleep', 'GreenThread'):
            setattr(module, attribute, one)
elif what == 'objects':
    for name, one in zip(NAMES, (Strange(), 1, None, Strange, 'x', [], {}, greenlet())):
        sys.modules[name] = one
elif what == 'no_modules':
    sys.modules = Strange()
elif what == 'collector':
    def replaced(*arguments):
        ran.append('replaced')
        return []
    sys.modules['greenlet'] = types.ModuleType('greenlet')
    sys.modules['greenlet'].greenlet = greenlet
    gc.get_objects = gc.get_referents = replaced
before = sorted(modules)
del ran[:]
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
told = list(ran)
sys.stdout.write('imported %s, ran %s\n' % (
    [name for name in modules if name not in before], told))
sys.stdout.flush()
os._exit(7)

"""A program without Tornado and Twisted, or with something else in place of their modules.
usage: generator_modules.py [likeness|classes|objects|collector]

A `likeness` has its own Runner and its own inlineCallbacks, whose objects contain anything. One
generator of each is suspended, one waits for itself, and two wait for each other. Ends with
status 7 at the end of its input, after a line that says which modules have been imported since,
which of its own code has run, and how much garbage is left.
"""
import gc
import os
import sys
import types

ran = []


class Meta(type):
    def __getattribute__(cls, name):
        ran.append('Meta ' + name)
        return type.__getattribute__(cls, name)

    def __eq__(cls, other):
        ran.append('Meta ==')
        return True

    __hash__ = type.__hash__


class Strange(object):
    __metaclass__ = Meta
    __module__ = 'tornado.gen'

    def __getattribute__(self, name):
        ran.append('Strange ' + name)
        raise ValueError(name)

    def __eq__(self, other):
        ran.append('Strange ==')
        return True

    def __hash__(self):
        return hash('gen')

    def __len__(self):
        ran.append('len')
        return 1

    __iter__ = __nonzero__ = __repr__ = __del__ = __len__


class Old:
    __module__ = 'twisted.internet.defer'

    def __getattr__(self, name):
        ran.append('Old ' + name)
        raise ValueError(name)


class partial(object):
    @property
    def func(self):
        ran.append('func')

    args = keywords = func


class Runner(object):
    __module__ = 'tornado.gen'

    def raises(self):
        ran.append('raises')
        raise ValueError

    gen = future = result_future = finished = running = io_loop = property(
        raises, lambda self, value: None)

    def __getattribute__(self, name):
        ran.append('Runner ' + name)
        raise ValueError(name)


def suspended():
    yield


def circular():
    yield


def there():
    yield


def and_back():
    yield


def begun(function):
    generator = function()
    generator.next()
    return generator


def runner(**attributes):
    one = Runner()
    held = object.__getattribute__(one, '__dict__')
    held.update(attributes)
    return one


def _inlineCallbacks(g, deferred, waiting):
    def gotResult(r):
        return g, deferred, waiting
    return gotResult


class Future(object):
    def __init__(self, callbacks):
        self._callbacks = self.callbacks = callbacks


what = sys.argv[1:] and sys.argv[1]
kept = []
modules = sys.modules
names = ('tornado.gen', 'twisted.internet.defer')
if what == 'likeness':
    for name in names:
        modules[name] = types.ModuleType(name)
    modules['tornado.gen'].Runner = Runner
    modules['tornado.gen'].moment = Strange()
    modules['twisted.internet.defer']._inlineCallbacks = _inlineCallbacks
    modules['twisted.internet.defer'].Deferred = Old
    own = Future([])
    around = Future([Strange(), Old(), partial(), (), ((),), Strange, len, own])
    own._callbacks.append(own._callbacks)
    loop = Strange()
    far, near = Future([]), Future([])
    kept = [
        runner(gen=Strange(), finished=False), runner(gen=1), runner(finished=Strange()), runner(),
        runner(gen=begun(suspended), finished=Strange()),
        runner(gen=begun(suspended), finished=False, future=Strange(), result_future=around,
               io_loop=loop),
        runner(gen=begun(circular), finished=False, future=own, result_future=own),
        runner(gen=begun(there), finished=False, future=far, result_future=near),
        runner(gen=begun(and_back), finished=False, future=near, result_future=far),
        _inlineCallbacks(begun(suspended), Old(), Strange()),
        _inlineCallbacks(Strange(), Strange(), Strange()),
        _inlineCallbacks(None, None, None), Old()]
    kept[-1].callbacks = [(kept[-4],), Strange(), ((kept[-4], Strange(), Strange()), Old())]
    object.__getattribute__(kept[3], '__dict__')[Strange()] = Strange()
elif what == 'classes':
    for name, one in zip(names, (Strange, Meta)):
        module = modules[name] = types.ModuleType(name)
        module.Runner = module._inlineCallbacks = module.Deferred = one
elif what == 'objects':
    modules.update(zip(names, (Strange(), Old())))
elif what == 'collector':
    def replaced(*arguments):
        ran.append('replaced')
        return []
    modules['tornado.gen'] = types.ModuleType('tornado.gen')
    modules['tornado.gen'].Runner = Runner
    gc.get_objects = gc.get_referents = replaced
collect = gc.collect
collect()
gc.disable()
before = sorted(modules)
del ran[:]
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
told = list(ran)
imported = [name for name in modules if name not in before]
sys.stdout.write('imported %s, ran %s, left %s\n' % (imported, told, collect()))
sys.stdout.flush()
os._exit(7)

"""Threads with variables of all kinds, and a watch on whether any code of their classes runs.
usage: variables.py [repr]

Says "ready", with the addresses of some objects; at the end of its input it says which code ran,
"ran []", and ends with status 7. With "repr" its objects have their own, variously behaved, repr.
"""
import collections
import sys
import threading
import time

ran = []
ready = []
# The name is equal to the name below, but a different object.
globals()[''.join(['tw', 'ice'])] = 1
if not twice:
    sys.exit(1)
gate = threading.Lock()
gate.acquire()
kept = {}


def notice(name):
    def method(*arguments):
        if ready:
            ran.append(name)
        raise ValueError(name)
    return method


class Meta(type):
    def __getattribute__(cls, name):
        if ready:
            ran.append('Meta.' + name)
        return type.__getattribute__(cls, name)


class Hostile(object):
    __metaclass__ = Meta

    def __getattribute__(self, name):
        if ready:
            ran.append('Hostile.' + name)
        return object.__getattribute__(self, name)

    def __hash__(self):
        if ready:
            ran.append('Hostile.__hash__')
        return 2

    __repr__ = __str__ = notice('repr')
    __len__ = __nonzero__ = notice('len')
    __eq__ = __cmp__ = notice('eq')
    __iter__ = notice('iter')
    __del__ = notice('del')
    __class__ = property(notice('class'))
    __dict__ = property(notice('dict'))


class Mapping(dict):
    __getitem__ = items = keys = __iter__ = __len__ = __repr__ = notice('Mapping')


class Text(str):
    __repr__ = __str__ = __len__ = __getitem__ = notice('Text')


class Old:
    def __init__(self):
        self.inside = 'old'

    __repr__ = __len__ = notice('Old')


class Key(object):
    """Not equal to a name, but with the same hash."""

    def __init__(self, name):
        self.hash = hash(name)

    def __hash__(self):
        return self.hash

    __eq__ = __cmp__ = notice('Key')


class Plain(object):
    kind = 'of the class'

    def __init__(self):
        self.name = u'J\xf6rg \u20ac'
        self.password = 'rosebud'
        self.other = {'Api_Token': 'rosebud', u'Password': u'rosebud'}

    def method(self):
        pass


class Slots(object):
    __slots__ = 'x',


def kinds(argument, default='it\'s "so"', *rest, **named):
    none, yes, number, long_, real = None, True, -5, 2 ** 100, 1.5
    huge = 1 << 100000
    controls = '\x1b[31m\n\\\xff'
    quote = "it's"
    wide = u'\u20ac'
    nested = [[[[[[1]]]]]]
    empty = [(), [], {}, set(), frozenset()]
    one = (1,)
    circle = [1]
    circle.append(circle)
    many = range(100000)
    large = 'x' * (100 << 20)
    members = set([7])
    text = Text('inner')
    mapping = Mapping(a=1)
    deque = collections.deque([1])
    old = Old()
    plain = Plain()
    bound = plain.method
    slots = Slots()
    hostile = Hostile()
    twenty = []
    for _ in range(20):
        twenty = [twenty]
    of_hostile = {hostile: hostile, 1: [hostile]}
    function, built_in, module, new_class, old_class = kinds, len, sys, Plain, Old
    secret_word = 'rosebud'
    late = argument
    del late
    before = locals()
    argument = 'changed'
    kept['before'] = before
    kept['plain'] = id(plain)
    return inner(before) or (lambda: wide)


def in_cells(first, second, third):
    second = 'in a cell'
    gate.acquire()
    return lambda: (second, first)


def executes(argument):
    exec 'made = 1; argument = 6; gone = 2; del gone'
    gate.acquire()


def in_class():
    free, bound = 1, 'of the function'

    class Body(object):
        bound = 'of the class'
        other = free

        def method(self):
            return free, bound
        gate.acquire()


def inner(before):
    gate.acquire()
    never_there()


# An answer looks these names up, this program does not; never_there is not defined.
for name in 'never_there', '_SLEEPER_AGENT', '__loader__':
    globals()[Key(name)] = name


class Raises(object):
    def __repr__(self):
        raise KeyError('no')


class Exits(object):
    def __repr__(self):
        sys.exit('from repr')


class Recurses(object):
    def __repr__(self):
        return repr(self)


class Lies(object):
    def __repr__(self):
        return 3


class Long(object):
    def __repr__(self):
        return 'long ' * 1000


class Blocks(object):
    """Its repr blocks until the program lets it return."""

    def __repr__(self):
        while not kept.get('go'):
            time.sleep(0.01)
        return 'it says so'


def own():
    sys.setrecursionlimit(100000)
    raises, exits, recurses, lies, long_, controls = (
        Raises(), Exits(), Recurses(), Lies(), Long(), Text('x'))
    if 'blocks' in sys.argv:
        blocks = Blocks()
    gate.acquire()


for target, arguments in ((own, ()),) if 'repr' in sys.argv else (
        (kinds, ('first',)), (executes, (5,)), (in_cells, (1, 2, 3)), (in_class, ())):
    thread = threading.Thread(target=target, args=arguments)
    thread.setDaemon(True)
    thread.start()
    # This program does not look this up either, unless the thread's own repr runs.
    if 'repr' not in sys.argv:
        del thread.__dict__['_Thread__name']
        thread.__dict__[Key('_Thread__name')] = 'nobody'
# On a busy machine that thread takes a while to make its variables, which calls some of the methods.
while 'repr' not in sys.argv and 'plain' not in kept:
    time.sleep(0.01)
time.sleep(0.3)
ready.append(True)
sys.stdout.write('ready\n')
sys.stdout.flush()
for line in iter(sys.stdin.readline, ''):
    kept['go'] = True
    break
sys.stdout.write('ran %s\n' % ran)
if 'before' in kept:
    sys.stdout.write('argument %s\n' % kept['before']['argument'])
ready[:] = []
sys.stdout.flush()
sys.exit(7)

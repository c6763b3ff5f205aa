"""A thread whose variables are objects of the standard library's types, and of classes derived from them.

Says "ready"; at the end of its input it says which code of its classes ran, "ran []", and ends with status 7.
"""
import array
import collections
import datetime
import decimal
import fractions
import functools
import os
import pwd
import Queue
import re
import socket
import sys
import threading
import time
import uuid

ran = []
ready = []
gate = threading.Lock()
gate.acquire()


def notice(name):
    def method(*arguments, **named):
        if ready:
            ran.append(name)
        raise ValueError(name)
    return method


class Zone(datetime.tzinfo):
    utcoffset = tzname = dst = __repr__ = notice('Zone')


class Day(datetime.date):
    __repr__ = __str__ = strftime = notice('Day')


class Money(decimal.Decimal):
    __repr__ = __str__ = notice('Money')


class Jobs(collections.deque):
    __repr__ = __iter__ = __len__ = notice('Jobs')


class Failure(Exception):
    def __init__(self, *arguments):
        Exception.__init__(self, *arguments)
        self.password = 'rosebud'
        self.reason = 'why'

    __repr__ = __str__ = args = property(notice('Failure'))


class Slots(object):
    __slots__ = ('x', '__private', 'password', 'unset', '__weakref__')

    def __init__(self):
        self.x = 1
        self.__private = 'own'
        self.password = 'rosebud'

    __getattribute__ = notice('Slots')


class Derived(Slots):
    def __init__(self):
        Slots.__init__(self)
        object.__getattribute__(self, '__dict__')['more'] = 2


class NamesItself(object):
    __slots__ = ('name', 'value')

    def __init__(self):
        self.name, self.value = 'password', 'rosebud'


class Fake(object):
    """Has the name of a type of C's."""


Fake.__name__ = 'datetime.datetime'
# 2.6 derives from what a call returns as well.
Point = collections.namedtuple('Point', 'x y')
Login = collections.namedtuple('Login', 'user password')


class Spot(Point):
    __slots__ = ()
    __repr__ = __getattribute__ = __len__ = notice('Spot')


class Table(collections.defaultdict):
    __repr__ = __missing__ = notice('Table')


def times():
    moment = datetime.datetime(2026, 11, 28, 15, 2)
    exactly = datetime.datetime(1, 2, 3, 4, 5, 6, 78901)
    zoned = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=Zone())
    day = datetime.date(2026, 2, 28)
    clock = datetime.time(23, 59, 58, 7)
    zoned_clock = datetime.time(1, 2, tzinfo=Zone())
    midnight = datetime.time()
    span = datetime.timedelta(-1, 5, 6)
    hours = datetime.timedelta(0, 7200)
    days = datetime.timedelta(3)
    own_day = Day(2000, 1, 1)
    parts = time.struct_time((2026, 11, 28, 15, 2, 3, 5, 332, 0))
    fake = Fake()
    gate.acquire()


def numbers():
    price = decimal.Decimal('12.50')
    tiny = decimal.Decimal('-1E-10')
    endless = decimal.Decimal('Infinity')
    no_number = decimal.Decimal('NaN')
    money = Money('3.99')
    third = fractions.Fraction(1, 3)
    identity = uuid.UUID('12345678-1234-5678-9234-567812345678')
    small = uuid.UUID(int=1)
    imaginary = 1j
    both = complex(1, -2.5)
    part = slice(1, None, 2)
    some = xrange(10)
    others = xrange(1, 10, 3)
    ints = array.array('i', [1, -2, 3])
    floats = array.array('d', [0.5])
    text = array.array('c', 'abc')
    wide = array.array('u', u'\u20ac')
    nothing = array.array('h')
    raw = bytearray('a\x00b')
    gate.acquire()


def containers():
    items = collections.deque([1, 'two'])
    bounded = collections.deque([1, 2, 3], 2)
    long_ = collections.deque(xrange(200))
    for _ in xrange(130):
        long_.popleft()
    no_items = collections.deque()
    circle = collections.deque()
    circle.append(circle)
    pair = collections.deque(['password', 'rosebud'])
    command = collections.deque(['x', '--password', 'rosebud'])
    inner = collections.deque([{'password': 'rosebud'}, Login('me', 'rosebud')])
    jobs = Jobs([1])
    queue = Queue.Queue()
    queue.put('a job')
    lists = collections.defaultdict(list, a=[1], password='rosebud')
    table = Table(int, a=1)
    point = Point(1, 'two')
    spot = Spot(3, 4)
    login = Login('me', 'rosebud')
    gate.acquire()


def objects():
    error = ValueError('bad', 3)
    no_arguments = KeyError()
    missing = IOError(2, 'No such file', '/nowhere')
    failure = Failure('broken', 1)
    of_pair = RuntimeError('password', 'rosebud')
    call = functools.partial(max, 1, key=len, password='rosebud')
    pattern = re.compile('a(b+)', re.I | re.M)
    match = pattern.search('xabbc')
    wide_match = re.compile(u'\u20ac').search(u'x\u20ac')
    no_match = re.compile('z').match('a')
    opened = open(os.devnull, 'rb')
    closed = open(os.devnull)
    closed.close()
    sock = socket.socket()
    limited = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    limited.settimeout(2.5)
    eager = socket.socket()._sock
    eager.setblocking(0)
    shut = socket.socket()
    shut.close()
    slots = Slots()
    derived = Derived()
    names_itself = NamesItself()
    password = bytearray('rosebud')
    auth = collections.deque(['rosebud'])
    key = bytearray('Zk8rosebudQ29vbCx7d1fA0')
    root = pwd.getpwuid(0)
    gate.acquire()


def counters():
    counter = collections.Counter('aab')
    ordered = collections.OrderedDict(zip('zyxwv', range(5)))
    del ordered['x']
    ordered['z'] = 'changed'
    ordered[7] = ordered
    ordered['password'] = 'rosebud'
    gate.acquire()


def suspends():
    in_generator = datetime.date(2026, 3, 1)
    items = collections.deque([1])
    yield gate.acquire()


functions = [times, numbers, containers, objects, lambda: list(suspends())]
if hasattr(collections, 'Counter'):
    functions.append(counters)
for function in functions:
    thread = threading.Thread(target=function)
    thread.setDaemon(True)
    thread.start()
time.sleep(0.5)
ready.append(True)
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write('ran %s\n' % ran)
ready[:] = []
sys.stdout.flush()
sys.exit(7)

"""Keeps the GIL in C code, in this way, while other threads wait.

usage: gil_kept.py regex | mutex | moving | corrupt | many COUNT
"""
import ctypes
import re
import struct
import sys
import threading
import time

WORD = ctypes.sizeof(ctypes.c_void_p)
kind = sys.argv[1]
keeping = ctypes.PyDLL(None)
letting_go = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
gate = threading.Lock()
gate.acquire()


def waits():
    note = u'w\xe4hrend'
    with_long = (1 << 70, -3, 2.5, set(['member']))
    gate.acquire()
    return note, with_long


def clean(html, pattern):
    note = 'page 4711'
    return re.sub(pattern, '', html)


def regex():
    clean('a' * 60 + '!', r'(a+)+$')


def locks_mutex():
    keeping.pthread_mutex_lock(mutex)


def moving():
    # It keeps the GIL for longer than an answer waits for who does not move.
    sys.setcheckinterval(100000)
    while True:
        for _ in range(60):
            keeping.usleep(5000)
        time.sleep(.01)


class Shown(object):
    def __init__(self):
        self.inside = 'an attribute'


def corrupt():
    def word(address):
        return ctypes.c_size_t.from_address(address)

    head = object.__basicsize__
    gone, long_text, cut = ['never shown'], 'text' * 3, {'key': 'value'}
    huge = (1, 2, 3)
    shown = Shown()
    # Its type; the size of a str and of a tuple; a dictionary's table.
    places = [word(id(gone) + head - WORD), word(id(long_text) + head), word(id(huge) + head),
              word(id(cut) + head + 3 * WORD)]
    before = [place.value for place in places]
    for place, value in zip(places, (16, 1 << 45, 1 << 45, 1 << 40)):
        place.value = value
    keeping.usleep(6000000)
    for place, value in zip(places, before):
        place.value = value
    assert (gone, long_text, cut) == (['never shown'], 'text' * 3, {'key': 'value'})
    return shown, huge


def start(function, name):
    thread = threading.Thread(target=function, name=name)
    thread.setDaemon(True)
    thread.start()
    return thread


letting_go.pthread_mutex_init(mutex, None)
letting_go.pthread_mutex_lock(mutex)
count = int(sys.argv[2]) if kind == 'many' else 1
for number in range(count):
    start(waits, 'waiting %d' % number)
time.sleep(.2)
sys.stdout.write('ready\n')
sys.stdout.flush()
time.sleep(.2)
keeper = {'regex': regex, 'mutex': locks_mutex, 'many': locks_mutex, 'moving': moving,
          'corrupt': corrupt}[kind]
thread = start(keeper, 'keeper')
while thread.isAlive():
    time.sleep(.1)
sys.stdout.write('went on\n')
sys.exit(7)

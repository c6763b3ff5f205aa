"""A program whose memory makes work for whoever asks it, and a heartbeat that notices when it stands still.
usage: frozen.py KIND

KIND is the name of a function below, which makes the memory and puts it into frames of other threads.

Prints "ready". Then it reads lines, as tests/targets/heartbeat.py does: at "begin" it starts counting anew and
says "begun", at "end" it prints "held LONGEST" in seconds, the longest gap between two heartbeats. It ends with
status 7 at any other line.
"""
import gc
import os
import sys
import threading
import time
import types

gaps = []
waiting = []
gate = threading.Lock()
gate.acquire()


def wait():
    waiting.append(1)
    gate.acquire()


def go_down(depth, *held):
    more = [held]
    if depth:
        go_down(depth - 1, *held)
    else:
        wait()


def hollow():
    """A dictionary and a set that once were large, and lists that each hold both, in 400 frames."""
    numbers = range(1400000)
    mapping, members = dict.fromkeys(numbers), set(numbers)
    for number in numbers[:-1]:
        del mapping[number]
        members.discard(number)
    start(go_down, 400, mapping, members)


def huge():
    """Values that take long to write where all of each is wanted, another one in each frame."""
    text = 'x' * 50000000
    numbers = [None] * 3000000
    number = 1 << 30000000

    def down(depth, *held):
        mine = [text, unicode('y' * 1000000), numbers, tuple(numbers), number]
        if depth:
            down(depth - 1)
        else:
            wait()
    start(down, 10)


def nested():
    """Deeply nested containers, and dictionaries with a million keys."""
    inner = dict.fromkeys(xrange(1000000))

    def down(depth):
        outer = dict([(number, inner) for number in range(1000)])
        for _ in range(3000):
            outer = [outer, outer]
        if depth:
            down(depth - 1)
        else:
            wait()
    start(down, 30)


def keys():
    """Keys of many megabytes, which might hold a secret word."""
    start(go_down, 3, {'x' * 30000000: 1}, {'y' * 30000000: 1})


def cells():
    """A function whose thousands of variables are all in cells."""
    names = ['name%d' % number for number in range(15000)]
    text = 'def outer():\n %s = 1\n def inner():\n  return %s\n wait()\n' % (
        ' = '.join(names), ' + '.join(names[:1]))
    text = text.replace('return', 'return [%s],' % ', '.join(names))
    namespace = {'wait': wait}
    exec text in namespace
    start(namespace['outer'])


def globals_of():
    """A hundred thousand global names, all of them used by each of the frames."""
    names = ['name%d' % number for number in range(100000)]
    namespace = dict.fromkeys(names, 'value')
    namespace['wait'] = wait
    text = 'def down(depth):\n if depth:\n  down(depth - 1)\n else:\n  wait()\n'
    for first in range(0, len(names), 1000):
        text += ' [%s]\n' % ', '.join(names[first:first + 1000])
    exec text in namespace
    start(namespace['down'], 30)


def lines():
    """Code that was made by hand, with a table of lines of many megabytes, at twenty places."""
    text = 'def down(depth):\n if not depth: wait()\n'
    for depth in range(1, 21):
        text += ' if depth == %d: down(depth - 1)\n' % depth
    namespace = {'wait': wait}
    exec text in namespace
    code = namespace['down'].func_code
    table = '\0' * 60000000
    namespace['down'] = types.FunctionType(types.CodeType(
        code.co_argcount, code.co_nlocals, code.co_stacksize, code.co_flags,
        code.co_code, code.co_consts, code.co_names, code.co_varnames,
        code.co_filename, code.co_name, code.co_firstlineno, table), namespace)
    start(namespace['down'], 20)


def deep():
    """Stacks of hundreds of thousands of frames, and one that is shallow."""
    sys.setrecursionlimit(1000000)
    threading.stack_size(512 << 20)

    def down(depth):
        if depth:
            down(depth - 1)
        else:
            wait()
    # Debug builds take long for each.
    frames = hasattr(sys, 'gettotalrefcount') and 50000 or 400000
    for _ in range(2):
        start(down, frames)
    start(wait)


def threads():
    """Hundreds of threads with as many frames and variables."""
    threading.stack_size(1 << 20)

    def down(depth):
        one, two, three = [depth], {'depth': depth}, 'depth %d' % depth
        four, five, six = [depth] * 3, (depth, 1), 'six %d' % depth
        if depth:
            down(depth - 1)
        else:
            wait()
    for _ in range(300):
        start(down, 200)


def objects():
    """Millions of objects that the garbage collector knows, and a module that looks like Tornado's."""
    gc.disable()
    waiting.append([[] for _ in xrange(3000000)])
    gen = types.ModuleType('tornado.gen')
    exec 'class Runner(object): pass' in gen.__dict__
    gen.Runner.__module__ = 'tornado.gen'
    sys.modules['tornado'] = types.ModuleType('tornado')
    sys.modules['tornado.gen'] = gen
    start(wait)


def classes():
    """Old-style classes with millions of ways from one to another, and a module that looks like Twisted's."""
    defer = types.ModuleType('twisted.internet.defer')
    exec '''
class Deferred:
    pass


def _inlineCallbacks():
    def gotResult():
        pass
''' in defer.__dict__
    defer.Deferred.__module__ = 'twisted.internet.defer'
    for name in ('twisted', 'twisted.internet'):
        sys.modules[name] = types.ModuleType(name)
    sys.modules['twisted.internet.defer'] = defer

    # What the interpreter would look up in all the bases is in the class itself.
    names = dict.fromkeys(['__getattr__', '__setattr__', '__delattr__'])
    pair = ()
    for _ in range(26):
        pair = (types.ClassType('One', pair, names.copy()), types.ClassType('Two', pair, names.copy()))
    waiting.append(types.InstanceType(pair[0], {}))
    start(wait)


def start(function, *arguments):
    before = len(waiting)
    one = threading.Thread(target=function, args=arguments)
    one.setDaemon(True)
    one.start()
    while len(waiting) == before:
        time.sleep(0.001)


def beat():
    last = time.time()
    while True:
        time.sleep(0.0005)
        now = time.time()
        gaps.append(now - last)
        last = now


def wait_longer():
    # A gap is known only once it is over.
    length = len(gaps)
    while len(gaps) == length:
        time.sleep(0.001)


def main():
    globals()[sys.argv[1]]()
    threading.stack_size(0)
    one = threading.Thread(target=beat)
    one.setDaemon(True)
    one.start()
    wait_longer()
    say('ready')
    while True:
        line = sys.stdin.readline()
        if line == 'begin\n':
            wait_longer()
            del gaps[:]
            say('begun')
        elif line == 'end\n':
            wait_longer()
            say('held %.6f' % max(gaps))
        else:
            os._exit(7)


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


main()

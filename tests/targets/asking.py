"""Asks itself through the C function. usage: asking.py endurance COUNT | exit LIBRARY | short | held

endurance: asks COUNT times and prints what has grown. exit: threads ask endlessly
while the main thread exits. short: asks once. held: asks while holding the GIL.
"""
import ctypes
import gc
import os
import sys
import threading
import time


def c_function(library):
    function = library.sleeper_agent_state
    function.restype = ctypes.c_char_p
    return function


ask = c_function(ctypes.CDLL(None))


def threads_told(text):
    return len([line for line in text.split('\n') if line.startswith('### Thread ')])


def resident_pages():
    return int(open('/proc/self/statm').read().split()[1])


def measure():
    gc.collect()
    found = {
        'threads': len(os.listdir('/proc/self/task')),
        'descriptors': len(os.listdir('/proc/self/fd')),
        'objects': len(gc.get_objects()),
        'modules': len(sys.modules),
        'pages': resident_pages(),
        'references': 0,
    }
    if hasattr(sys, 'gettotalrefcount'):
        found['references'] = sys.gettotalrefcount()
    return found


def endurance(count):
    gate = threading.Lock()
    gate.acquire()
    crowd = [threading.Thread(target=gate.acquire) for _ in range(4)]
    for one in crowd:
        one.setDaemon(True)
        one.start()
    modules = sorted(sys.modules)
    for _ in range(count // 20):
        ask()
    measure()
    time.sleep(0.3)
    before = measure()
    told = 0
    for _ in range(count):
        told += threads_told(ask()) == 5
    time.sleep(0.3)
    after = measure()
    sys.stdout.write('told %d\n' % told)
    for name in sorted(before):
        sys.stdout.write('%s %d\n' % (name, after[name] - before[name]))
    if sorted(sys.modules) != modules:
        sys.stdout.write('new modules: %s\n' % [name for name in sys.modules if name not in modules])
    sys.stdout.write('exception %r\n' % (sys.exc_info(),))


def exit():
    # C threads: Python's daemon threads have their own troubles at exit.
    library = ctypes.CDLL(sys.argv[2])
    for _ in range(2):
        library.start_asking()
    time.sleep(0.05)
    sys.stdout.write('leaving\n')
    sys.exit(7)


def short():
    sys.stdout.write('%d\n' % threads_told(ask()))


def held():
    sys.stdout.write(c_function(ctypes.PyDLL(None))())


if sys.argv[1] == 'endurance':
    endurance(int(sys.argv[2]))
else:
    globals()[sys.argv[1]]()

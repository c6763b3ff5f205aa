"""Programs that make a stack hard to read. usage: weird.py KIND [ARGUMENT]

Each prints "ready" once its stack is in that state, and ends with status 7 after a line.
"""
import ctypes
import os
import sys
import threading
import time


def ready():
    sys.stdout.write('ready\n')
    sys.stdout.flush()


def background(work, *arguments):
    one = threading.Thread(target=work, args=arguments)
    one.setDaemon(True)
    one.start()
    return one


def wait():
    ready()
    sys.stdin.readline()
    sys.stdout.write('went on\n')
    sys.exit(7)


def blocked_lock():
    gate = threading.Lock()
    gate.acquire()
    return gate


def descend(left, gate, there):
    if left > 1:
        descend(left - 1, gate, there)
    else:
        there.set()
        gate.acquire()


def recursion():
    depth = int(sys.argv[2])
    sys.setrecursionlimit(depth + 1000)
    threading.stack_size(512 * 1024 * 1024)
    there = threading.Event()
    background(descend, depth, blocked_lock(), there)
    threading.stack_size(0)
    there.wait()
    time.sleep(0.1)
    wait()


def names():
    # File and function names that no editor would let you write.
    for number, name in enumerate(
            ['new\nline.py', 'bell\x07 and \x1b[31mred.py', 'undecodable \xff\xfe.py',
             'caf\xc3\xa9.py', 'quo"te.py', '', '/no/such/file.py', '/proc/self/mem']):
        source = 'def odd_%d(gate):\n    gate.acquire()\n' % number
        namespace = {}
        exec(compile(source, name, 'exec'), namespace)
        background(namespace['odd_%d' % number], blocked_lock())
    import new
    plain = (lambda gate: gate.acquire()).func_code
    code = new.code(
        plain.co_argcount, plain.co_nlocals, plain.co_stacksize, plain.co_flags, plain.co_code,
        plain.co_consts, plain.co_names, plain.co_varnames, 'nul\0file.py', 'nul\0name',
        7, plain.co_lnotab)
    background(new.function(code, {}), blocked_lock())
    time.sleep(0.3)
    wait()


def zipped():
    sys.path.insert(0, sys.argv[2])
    import zipped_module
    background(zipped_module.in_the_zip, blocked_lock())
    time.sleep(0.3)
    wait()


def changed():
    # The source on disk changes after the program has been asked once.
    sys.path.insert(0, sys.argv[2])
    import changing_module
    background(changing_module.wait_here, blocked_lock())
    time.sleep(0.3)
    wait()


def foreign():
    # A thread that C started and that has run Python only for a moment, and a thread that
    # never has: neither has a frame.
    library = ctypes.CDLL(sys.argv[2])
    calls = []
    callback_type = ctypes.CFUNCTYPE(None)
    callback = callback_type(lambda: calls.append(1))
    library.start_thread(callback)
    library.start_thread(callback_type(0))
    while not calls:
        time.sleep(0.01)
    wait()


def holding():
    # Another thread makes a long call in C and never releases the GIL.
    sleep = ctypes.PyDLL(None).sleep
    hold(sleep)


def holding_and_moving():
    # Another thread makes many short ones.
    usleep = ctypes.PyDLL(None).usleep

    def sleep(seconds):
        end = time.time() + seconds
        while time.time() < end:
            usleep(5000)

    hold(sleep)


def hold(sleep):
    seconds = int(sys.argv[2])

    def hold_the_gil():
        sys.setcheckinterval(1000000)
        ready()
        sleep(seconds)

    one = background(hold_the_gil)
    one.join()
    sys.stdin.readline()
    sys.stdout.write('went on\n')
    sys.exit(7)


def holding_main():
    # The main thread itself keeps the GIL.
    ready()
    ctypes.PyDLL(None).sleep(int(sys.argv[2]))
    sys.stdin.readline()
    sys.stdout.write('went on\n')
    sys.exit(7)


def poor():
    # A program that has removed what a careless agent would rely on.
    import __builtin__
    for name in ('traceback', 'linecache', 'os'):
        sys.modules[name] = None
    for name in ('open', 'sorted', 'reload'):
        setattr(__builtin__, name, None)
    del sys._current_frames
    wait()


def traced():
    # A program under a tracing debugger: nothing but its own code may show up in it.
    seen = []
    own = ready.func_code.co_filename

    def trace(frame, event, argument):
        if frame.f_code.co_filename != own:
            seen.append((frame.f_code.co_filename, frame.f_code.co_name))
        return trace

    threading.settrace(trace)
    threading.setprofile(trace)
    sys.settrace(trace)
    sys.setprofile(trace)
    ready()
    sys.stdin.readline()
    sys.stdout.write('traced %r\n' % seen)
    sys.exit(7)


globals()[sys.argv[1]]()

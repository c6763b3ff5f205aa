"""A program whose first thread ends in the given way, without the C library or unlike most.

Usage: ends.py WAY. It prints `ready`, waits for a line, and ends: see the functions below.
"""
import ctypes
import os
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)


class Instruction(ctypes.Structure):
    _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8), ('jf', ctypes.c_uint8),
                ('k', ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_uint16), ('code', ctypes.POINTER(Instruction))]


def exits():
    """Calls exit(2)."""
    libc.syscall(60, 3)


def strict():
    """Calls it under seccomp's strict mode, where there is no other way to end."""
    libc.prctl(22, 1, 0, 0, 0)
    libc.syscall(60, 3)


def is_killed(flags=0):
    """A filter ends the thread (SECCOMP_RET_KILL_THREAD) when it makes a socket."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 41), (0x06, 0, 0, 0), (0x06, 0, 0, 0x7fff0000)]
    code = (Instruction * len(code))(*[Instruction(*one) for one in code])
    program = Program(len(code), code)
    libc.prctl(38, 1, 0, 0, 0)
    libc.syscall(317, 1, flags, ctypes.byref(program))
    libc.socket(1, 1, 0)


def is_killed_with_all():
    """The same by a filter on all threads."""
    is_killed(1)


def in_child():
    """It is a child's first thread that is ended so. The program ends with the child's signal as its status."""
    child = os.fork()
    if not child:
        is_killed()
    os._exit(os.waitpid(child, 0)[1] & 0x7f)


def from_thread():
    """A thread has forked the child."""
    thread = threading.Thread(target=in_child)
    thread.start()
    thread.join()


def is_outlived():
    """Another thread works on, for longer than the agent takes to see that."""
    threading.Thread(target=time.sleep, args=(25,)).start()
    is_killed()


def without_proc():
    """There is no /proc, so nothing shows the status either."""
    os.chroot('/usr')
    libc.syscall(60, 0)


def ends_late():
    """The first thread calls pthread_exit. Another one works on, and says when it ends."""
    def work():
        time.sleep(4)
        os.write(1, ('%.3f\n' % time.time()).encode())
    threading.Thread(target=work).start()
    time.sleep(.1)
    libc.pthread_exit(None)


sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
globals()[sys.argv[1]]()

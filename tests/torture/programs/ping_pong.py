"""Threads of C that take the GIL, call Python, and let go, by the thousand."""
# needs: cc
import ctypes
import torment

library = torment.native()[1]
library.call_from_threads.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.py_object]
calls = []


def called():
    calls.append(len(calls) >= 0)


def work():
    del calls[:]
    torment.crowd(2, lambda number: torment.check(
        library.call_from_threads(3, 400, called) == 1200, 'a call failed'))
    torment.check(calls == [True] * 2400, '%d calls' % len(calls))


torment.steady(work)

"""Has its own handler for SIGSEGV, and waits."""
import ctypes
import sys

HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
handler = HANDLER(lambda number: None)
ctypes.CDLL(None).signal(11, handler)
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()

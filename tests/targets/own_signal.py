"""Uses the agent's signal itself. usage: own_signal.py handler|waits|open|guarded NUMBER

handler: has a handler for it that prints "signal". waits: blocks it in every thread, and prints
"signal" for each one that sigwaitinfo returns. guarded: is not dumpable, so that its memory is
protected. Ends with status 7 once it has read a line.
"""
import ctypes
import os
import signal
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
number = int(sys.argv[2])


def say(text):
    os.write(1, text + '\n')


def block():
    mask = (ctypes.c_ulong * 16)(1 << (number - 1))
    libc.pthread_sigmask(0, mask, None)


def take_all():
    block()
    mask = (ctypes.c_ulong * 16)(1 << (number - 1))
    while True:
        if libc.sigwaitinfo(mask, None) == number:
            say('signal')


def wait_here():
    say('ready')
    while True:
        try:
            # Not through Python's own buffers, which a signal disturbs.
            if os.read(0, 100):
                return
        except OSError:
            pass


if sys.argv[1] == 'handler':
    signal.signal(number, lambda *_: say('signal'))
elif sys.argv[1] == 'waits':
    block()
    one = threading.Thread(target=take_all)
    one.setDaemon(True)
    one.start()
elif sys.argv[1] == 'guarded':
    libc.prctl(4, 0, 0, 0, 0)
wait_here()
os._exit(7)

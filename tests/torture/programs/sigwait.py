"""A thread waits for signals that all others block; not one may be lost."""
# needs: cc
import ctypes
import os
import threading
import torment

USR1, REALTIME = 10, 37
library = torment.native()[1]
library.blocked_signals.restype = library.block_signal.restype = ctypes.c_ulong
got = []


def wait(count, heard):
    mask = library.blocked_signals()
    for _ in range(count):
        got.append(library.wait_for_signal(USR1, REALTIME))
        heard.release()
    torment.check(library.blocked_signals() == mask, 'the mask of the waiting thread has changed')


def work():
    del got[:]
    heard = threading.Semaphore(0)
    one = threading.Thread(target=wait, args=(250, heard))
    one.start()
    for _ in range(150):
        os.kill(os.getpid(), USR1)
        heard.acquire()
    # Real-time signals are queued individually.
    for number in range(100):
        torment.check(library.send_signal(os.getpid(), REALTIME) == 0, 'not sent')
    one.join()
    torment.check(got == [USR1] * 150 + [REALTIME] * 100, 'got others: %r' % got)
    torment.check(library.blocked_signals() == blocked, 'the mask has changed')


library.block_signal(USR1)
blocked = library.block_signal(REALTIME)
torment.check(blocked == 1 << (USR1 - 1) | 1 << (REALTIME - 1), 'others are blocked: %x' % blocked)
torment.steady(work)

"""A program that releases the GIL only ten times a second, so that questions pile up.

Says "ready", and ends with status 7 at the end of its input.
"""
import ctypes
import sys
import threading
import time

holding = ctypes.PyDLL(None)


def keep():
    mine = 'found here'
    while mine:
        holding.usleep(100000)
        time.sleep(0.001)


thread = threading.Thread(target=keep)
thread.setDaemon(True)
thread.start()
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
sys.exit(7)

"""Threads that compute endlessly, and a thread that waits for a lock.
usage: contending.py

Says "thread WHAT IDENT" of each, then "ready".
"""
import sys
import thread
import threading
import time


def go(what, work):
    def run():
        sys.stdout.write('thread %s %d\n' % (what, thread.get_ident()))
        sys.stdout.flush()
        work()
    one = threading.Thread(target=run, name=what)
    one.setDaemon(True)
    one.start()
    time.sleep(0.1)


def compute():
    number = 0
    while True:
        number += 1


# With a short interval the waiting threads would wake all the time and find the GIL taken again.
sys.setcheckinterval(100000)
taken = threading.Lock()
taken.acquire()
go('lock', taken.acquire)
for what in 'first', 'second', 'third':
    go(what, compute)
sys.stdout.write('ready\n')
sys.stdout.flush()
time.sleep(1000)

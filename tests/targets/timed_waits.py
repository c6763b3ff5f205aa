"""Threads that wait with a timeout of a minute, and one that sleeps in short turns.

Says "thread WHAT IDENT" of each, then "ready" when all have waited for a second; ends with status 7 at the end of
its input.
"""
import Queue
import os
import sys
import thread
import threading
import time


def condition():
    one = threading.Condition()
    one.acquire()
    one.wait(60)


def in_turns(queue):
    # Others take what comes first, so it goes on waiting.
    queue.get(True, 60.0)


def naps():
    while True:
        time.sleep(0.02)


def go(what, work, *arguments):
    def run():
        sys.stdout.write('thread %s %d\n' % (what, thread.get_ident()))
        sys.stdout.flush()
        work(*arguments)
    result = threading.Thread(target=run, name=what)
    result.setDaemon(True)
    result.start()
    time.sleep(0.05)
    return result


full = Queue.Queue(1)
full.put(1)
taken = Queue.Queue()
sleeper = go('naps', naps)
go('condition', condition)
go('event', threading.Event().wait, 60)
go('queue_get', Queue.Queue().get, True, 60)
go('queue_put', full.put, 2, True, 60)
go('join', sleeper.join, 60)
go('in_turns', in_turns, taken)
go('unlimited', threading.Event().wait)
time.sleep(0.5)
# It is woken, and finds nothing.
taken.not_empty.acquire()
taken.not_empty.notify()
taken.not_empty.release()
time.sleep(0.5)
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.read()
# The threads go on until the end.
os._exit(7)

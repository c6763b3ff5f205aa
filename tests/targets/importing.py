"""A module that, while it is imported, waits for threads that import something themselves.
usage: importing.py deadlock|taken

Says "thread WHAT IDENT" of each, then "ready". deadlock: it imports itself, and waits for a thread that
waits for the import lock. taken: a thread that imports nothing holds the import lock.
"""
import imp
import sys
import thread
import threading
import time

sys.dont_write_bytecode = True
begun = []


def say(what):
    sys.stdout.write('thread %s %d\n' % (what, thread.get_ident()))
    sys.stdout.flush()
    begun.append(what)


def statement():
    say('statement')
    import string
    return string


def function():
    say('function')
    return __import__('string')


def lock():
    say('lock')
    imp.acquire_lock()


def start(work):
    count = len(begun)
    one = threading.Thread(target=work, name=work.__name__)
    one.setDaemon(True)
    one.start()
    while len(begun) == count:
        time.sleep(0.01)
    return one


def ready():
    time.sleep(0.3)
    sys.stdout.write('ready\n')
    sys.stdout.flush()


if __name__ != '__main__':
    say('main')
    for work in function, lock:
        start(work)
    one = start(statement)
    ready()
    one.join()
elif sys.argv[1] == 'deadlock':
    import importing
else:
    say('main')
    imp.acquire_lock()
    start(statement)
    ready()
    time.sleep(1000)

"""Threads that a program starts and tells of: how the programs of waits begin, and how they end."""
import errno
import os
import select
import sys
import thread
import threading
import time

begun = []


def say(what, name, value):
    sys.stdout.write('%s %s %s\n' % (what, name, value))
    sys.stdout.flush()


def go(what, work, *arguments):
    """Start a thread that says who it is, and works."""
    def run():
        say('thread', what, thread.get_ident())
        begun.append(what)
        while True:
            try:
                return work(*arguments)
            except (select.error, EnvironmentError):
                # A debugger interrupts system calls like this.
                if sys.exc_info()[1].args[0] != errno.EINTR:
                    raise
    count = len(begun)
    one = threading.Thread(target=run, name=what)
    one.setDaemon(True)
    one.start()
    while len(begun) == count:
        time.sleep(0.01)


def until_the_end(children=()):
    """Say that all are there, and wait for the end of the input; then end these children."""
    time.sleep(0.5)
    say('all', 'are', 'there')
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    for child in children:
        os.kill(child, 9)

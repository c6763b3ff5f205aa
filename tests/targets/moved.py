"""Leaves the folder that its relative name refers to, like a daemon, and takes the lowest free
descriptor over and over.

Ends with status 7 on SIGTERM.
"""
import os
import signal
import sys

taken = []


def stop(*_):
    sys.stdout.write('%d times it was taken\n' % len(taken))
    sys.exit(7)


def take(lowest):
    while True:
        got = os.open('/dev/null', os.O_RDONLY)
        if got != lowest:
            taken.append(got)
        os.close(got)


signal.signal(signal.SIGTERM, stop)
os.chdir('/')
first = os.open('/dev/null', os.O_RDONLY)
os.close(first)
sys.stdout.write('ready\n')
sys.stdout.flush()
take(first)

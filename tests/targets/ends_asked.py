"""Ends during the first question, as soon as the agent has had the GIL for a while, and lets other
threads run for a moment at its very end, when its modules are gone. usage: ends_asked.py
"""
import codecs
import os
import sys
import time

TASKS = '/proc/self/task'


class Last(object):
    """The interpreter itself keeps it to the end; its finalizer takes a moment."""

    def __init__(self):
        self.sleep = time.sleep

    def __call__(self, name):
        return None

    def __del__(self):
        self.sleep(0.001)


def worker_is_there():
    for task in os.listdir(TASKS):
        try:
            if open('%s/%s/comm' % (TASKS, task)).read() == 'sleeper-worker\n':
                return True
        except IOError:
            pass
    return False


for _ in range(50):
    codecs.register(Last())
sys.stdout.write('ready\n')
sys.stdout.flush()
# The GIL may be taken from us in any line, also while we look for the worker.
begun = time.time()
end = begun + 5
took = 0
while begun < end and took < 0.0005:
    time.sleep(0)
    there = worker_is_there()
    took = time.time() - begun if there else 0
    begun = time.time()
sys.setcheckinterval(1 << 30)
sys.exit(7)

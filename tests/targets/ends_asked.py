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
took = 0
end = time.time() + 5
while time.time() < end and not (took > 0.0005 and worker_is_there()):
    begun = time.time()
    time.sleep(0)
    took = time.time() - begun
sys.setcheckinterval(1 << 30)
sys.exit(7)

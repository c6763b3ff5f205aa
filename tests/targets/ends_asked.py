"""Ends during the first question, as soon as it sees that the agent's code runs, and lets other
threads run for a moment at its very end, when its modules are gone. usage: ends_asked.py
"""
import codecs
import sys
import thread
import time


class Last(object):
    """The interpreter itself keeps it to the end; its finalizer takes a moment."""

    def __init__(self):
        self.sleep = time.sleep

    def __call__(self, name):
        return None

    def __del__(self):
        self.sleep(0.001)


for _ in range(50):
    codecs.register(Last())
this = thread.get_ident()


def sees_agent():
    return [ident for ident, frame in sys._current_frames().items() if ident != this
            and frame.f_code.co_filename in ('greenlets.py', 'sleeper_agent.py')] != []


sys.stdout.write('ready\n')
sys.stdout.flush()
end = time.time() + 0.5
while not sees_agent() and time.time() < end:
    time.sleep(0)
sys.setcheckinterval(5)
sys.exit(7)

"""Ends while it is being asked for the first time, as soon as it sees code of the agent's half-way,
and lets others run for a moment at its very end, when its modules are gone. usage: ends_asked.py
"""
import codecs
import sys
import thread
import time


class Last(object):
    """Kept to the end by the interpreter itself; takes a moment to go."""

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

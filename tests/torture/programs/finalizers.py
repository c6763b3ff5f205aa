"""Files that only their finalizers write and close: in frames, in cycles; among many threads."""
# variants: frames cycles
import gc
import os
import signal
import threading
import time
import torment

gate = threading.Lock()
gate.acquire()
PATH = os.path.join(torment.FOLDER, 'precious')


class Node(object):
    """Keeps its file open until the garbage collector comes."""

    def __init__(self, path):
        self.file = open(path, 'w')
        self.file.write('precious data\n')
        self.itself = self


def framed(path):
    one = open(path, 'w')
    one.write('precious data\n')
    for number in range(2000):
        str(number)


def deep(frames):
    if frames:
        return deep(frames - 1)
    gate.acquire()
    gate.release()


def work():
    make = torment.variant == 'frames' and framed or Node
    paths = [PATH + str(number) for number in range(40)]
    for path in paths:
        make(path)
    until = time.time() + 5
    while [path for path in paths if os.path.getsize(path) != 14]:
        torment.check(time.time() < until, 'what was written is not there')
        # Does nothing while another thread is collecting.
        gc.collect()
    for path in paths:
        os.unlink(path)


threading.stack_size(256 * 1024)
waiting = [threading.Thread(target=deep, args=(20,)) for _ in range(50)]
for one in waiting:
    one.start()
# A signal makes the interpreter hand over the GIL at once, wherever it is.
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
try:
    torment.steady(work)
finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    gate.release()
    for one in waiting:
        one.join()

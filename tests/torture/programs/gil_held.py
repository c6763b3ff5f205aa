"""C code that keeps the GIL for a second, or for thirty."""
# variants: second long
# needs: cc
# deadline: 0.5
# may say: the GIL was not released within
# may say: thread # keeps the GIL and
# may say: the agent got the GIL, but was not done within
# may say: the agent was still reading source files after
import ctypes
import os
import threading
import torment

hold = torment.native()[0].hold_for
stop = os.path.join(torment.FOLDER, 'stop')
seconds = 0.1


def work():
    one = threading.Thread(target=hold, args=(ctypes.c_double(seconds), stop))
    one.start()
    one.join()
    # In between the agent answers as usual.
    torment.crowd(2, lambda number: [sum(range(10000)) for _ in range(100)])


torment.ready(work)
seconds = torment.variant == 'long' and 30 or 1
while torment.goes_on():
    work()
seconds = 0
work()
torment.intact()

"""Closes standard input and opens a file, which must get the number."""
import os
import torment


def work():
    for turn in range(3000):
        os.close(0)
        torment.check(os.open('/dev/null', os.O_RDONLY) == 0, 'somebody else took the number')


torment.steady(work)

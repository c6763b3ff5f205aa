"""Threads blocked in system calls, made by C code without the GIL."""
# needs: cc
import os
import torment

library = torment.native()[1]


def wait(number):
    reader, writer = os.pipe()
    torment.check(library.wait_to_read(reader, 40 + number) == 0, 'nothing was there to read')
    os.write(writer, 'x')
    torment.check(library.wait_to_read(reader, 10000) == 1, 'something was there to read')
    os.close(reader)
    os.close(writer)


torment.steady(lambda: torment.crowd(8, wait))

"""Forks again and again, from several threads; each child checks its data and ends."""
# ask: tree
import gc
import os
import sys
import threading
import time
import torment

table = dict((number, str(number) * 9) for number in range(2000))


def in_the_child(code):
    for number, text in table.items():
        torment.check(text == str(number) * 9, 'the table has changed')
    torment.check(gc.isenabled(), 'the collector is off')
    one = threading.Thread(target=time.sleep, args=(0.01 * code,))
    one.start()
    one.join()


def fork(code, leave):
    child = os.fork()
    if child == 0:
        try:
            in_the_child(code)
            leave(code)
        except SystemExit:
            raise
        except:
            sys.excepthook(*sys.exc_info())
            os._exit(111)
    return child


def storm(number):
    for code in range(5):
        status = os.waitpid(fork(code, os._exit), 0)[1]
        torment.check(status == code << 8, 'a child ended with %#x' % status)


def work():
    # The main thread's children end as programs do, through Py_Finalize.
    children = [(fork(code, sys.exit), code) for code in range(4)]
    torment.crowd(2, storm)
    for child, code in children:
        status = os.waitpid(child, 0)[1]
        torment.check(status == code << 8, 'a child ended with %#x' % status)


torment.steady(work)

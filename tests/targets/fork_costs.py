"""Times what a program that forks does. usage: fork_costs.py exit|command|prefork|pool COUNT [threaded]

Prints how many microseconds each of COUNT took: a child that ends at once; a command; a parent that forks 100
workers, which live for 50 ms; a pool of processes that works and ends. With "threaded" the program has had a
thread of its own before.
"""
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time


def exit():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def command():
    subprocess.call(['/bin/true'])


def prefork():
    children = []
    for _ in range(100):
        child = os.fork()
        if child == 0:
            time.sleep(0.05)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def square(number):
    return number * number


def pool():
    workers = multiprocessing.Pool(4)
    assert workers.map(square, range(100)) == [n * n for n in range(100)]
    workers.close()
    workers.join()


# What is started from here is not measured with the library.
os.environ.pop('LD_PRELOAD', None)
gc.disable()
work = globals()[sys.argv[1]]
if 'threaded' in sys.argv:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
# The agent's thread has started by then.
time.sleep(0.05)
work()
for _ in range(int(sys.argv[2])):
    begun = time.time()
    work()
    sys.stdout.write('%.1f\n' % (1e6 * (time.time() - begun)))

"""Another process stops it and lets it go on, every few milliseconds."""
# may say: it is stopped
import os
import signal
import time
import torment


def stop_and_go(process):
    for turn in range(20):
        os.kill(process, signal.SIGSTOP)
        time.sleep(0.004)
        os.kill(process, signal.SIGCONT)
        time.sleep(0.012)


def work():
    us = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            stop_and_go(us)
        finally:
            os._exit(0)
    torment.crowd(3, lambda number: torment.check(
        [sum(range(1000)) for _ in range(1500)] == [499500] * 1500, 'wrong sum'))
    torment.check(os.waitpid(child, 0) == (child, 0), 'the child failed')


torment.steady(work)

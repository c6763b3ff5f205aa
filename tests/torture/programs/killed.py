"""Threads work until the process is killed."""
# life: brief
# ends: SIGKILL
# prints: nothing
# killed after: 0.4
import threading
import torment


def count_up(number):
    while True:
        torment.check(sum(range(1000)) == 499500, 'wrong sum')


torment.crowd(3, count_up)

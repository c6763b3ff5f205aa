"""Threads work, and the process becomes another program."""
# life: brief
# may say: not a Python process
# may say: the agent could not start its worker (EAGAIN
import os
import threading
import time
import torment


def count_up():
    while True:
        torment.check(sum(range(1000)) == 499500, 'wrong sum')


for _ in range(2):
    one = threading.Thread(target=count_up)
    one.setDaemon(True)
    one.start()
time.sleep(0.1)
os.execv('/bin/echo', ['echo', 'intact'])

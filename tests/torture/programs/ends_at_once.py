"""A thread ends the process at once, while others work."""
# life: brief
# ends: 3
# prints: nothing
import os
import threading
import time
import torment


def count_up():
    total = 0
    while True:
        total += sum(range(1000)) == 499500


def leave():
    time.sleep(0.15)
    os._exit(3)


for work in (count_up, count_up, leave):
    threading.Thread(target=work).start()

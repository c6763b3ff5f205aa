"""Takes its time to end: exit functions, finalizers, daemon threads."""
# life: brief
# variants: atexit finalizers blocked busy crowd
import atexit
import threading
import time
import torment


def start(work, daemon):
    one = threading.Thread(target=work)
    one.setDaemon(daemon)
    one.start()


def linger(sleep=time.sleep):
    for _ in range(20):
        sleep(0.01)


def count_up():
    number = 0
    while True:
        number += 1


class Slow(object):
    def __del__(self, linger=linger):
        linger()


def finish():
    torment.check(sum(range(1000)) == 499500, 'wrong sum')
    if torment.variant == 'atexit':
        linger()
    torment.say('intact')


atexit.register(finish)
gate = threading.Lock()
gate.acquire()
if torment.variant == 'finalizers':
    things = [Slow(), Slow()]
elif torment.variant == 'blocked':
    for _ in range(5):
        start(gate.acquire, True)
elif torment.variant == 'busy':
    for _ in range(3):
        start(count_up, True)
elif torment.variant == 'crowd':
    for _ in range(5):
        start(linger, False)

"""One of each thing that can be asked for: a thread that waits for a lock, a variable, a suspended greenlet.
usage: one_of_each.py

Says "ready"; at the end of its input it ends with status 7. Where there is no greenlet it says "no greenlet"
before.
"""
import sys
import threading
try:
    import greenlet
except ImportError:
    greenlet = None


def waits_for_lock(lock):
    begun.set()
    lock.acquire()


def suspended_here(back):
    back.switch()


def main():
    number_of_sheep = 4242
    lock = threading.Lock()
    lock.acquire()
    waiting = threading.Thread(target=waits_for_lock, args=(lock,), name='shepherd')
    waiting.setDaemon(True)
    waiting.start()
    begun.wait()
    if greenlet:
        kept = greenlet.greenlet(suspended_here)
        kept.switch(greenlet.getcurrent())
    else:
        sys.stdout.write('no greenlet\n')
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    sys.stdin.readline()
    lock.release()
    waiting.join()
    sys.exit(number_of_sheep - 4235)


begun = threading.Event()
main()

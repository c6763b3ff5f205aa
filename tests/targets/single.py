"""One thread. usage: single.py sleeping|busy|allocating|raising

Ends with status 7 on SIGTERM, whose handler only the main thread can run.
"""
import signal
import sys
import time


def sleeping():
    while True:
        time.sleep(300)


def busy():
    count = 0
    while True:
        count += 1


def allocating():
    kept = []
    while True:
        kept.append([str(number) * 3 for number in range(50)])
        kept.append(dict([(number, object()) for number in range(50)]))
        if len(kept) > 2000:
            checked = [one for one in kept if type(one) not in (list, dict)]
            if checked:
                sys.stdout.write('damaged: %r\n' % checked)
                sys.exit(1)
            del kept[:]


def raising():
    while True:
        try:
            raise KeyError('an exception in flight')
        except KeyError:
            if sys.exc_info()[0] is not KeyError:
                sys.stdout.write('lost the exception\n')
                sys.exit(1)


def stop(*_):
    sys.stdout.write('handled\n')
    sys.exit(7)


signal.signal(signal.SIGTERM, stop)
sys.stdout.write('ready\n')
sys.stdout.flush()
globals()[sys.argv[1]]()

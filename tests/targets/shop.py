"""A small shop, for the demo: customers order, bakers bake, somebody keeps the books.

Closes on SIGTERM and ends with status 0.
"""
import Queue
import signal
import sys
import threading
import time

orders = Queue.Queue()
sold = []
closing = []


def bake(name):
    for _ in range(3):
        time.sleep(0.02)
    return 'bread for %s' % name


def baker():
    while True:
        name = orders.get()
        sold.append(bake(name))
        orders.task_done()


def customer(name):
    while True:
        orders.put(name)
        time.sleep(0.25)


def count_takings():
    total = 0
    for _ in range(200000):
        total += len(sold) % 3
    return total


def bookkeeper():
    while True:
        count_takings()


def close(*_):
    closing.append(True)


def keep_open():
    while not closing:
        time.sleep(0.05)


def start(work, *arguments):
    one = threading.Thread(target=work, args=arguments)
    one.setDaemon(True)
    one.start()


signal.signal(signal.SIGTERM, close)
for work in (baker, baker, bookkeeper):
    start(work)
for name in ('Ada', 'Grace'):
    start(customer, name)
sys.stdout.write('open\n')
sys.stdout.flush()
keep_open()
sys.stdout.write('closed after selling %d loaves\n' % len(sold))
sys.stdout.flush()

"""multiprocessing: pools, queues and processes."""
# ask: tree
import multiprocessing
import os
import time
import torment


def square(number):
    return number * number


def produce(queue, count):
    for number in range(count):
        queue.put((number, 'x' * number))


def leave(code):
    time.sleep(0.05)
    os._exit(code)


def work():
    pool = multiprocessing.Pool(2)
    torment.check(pool.map(square, range(300)) == map(square, range(300)), 'wrong squares')
    pool.close()
    pool.join()

    queue = multiprocessing.Queue()
    producer = multiprocessing.Process(target=produce, args=(queue, 200))
    producer.start()
    for number in range(200):
        torment.check(queue.get() == (number, 'x' * number), 'lost in the queue')
    producer.join()
    queue.close()
    queue.join_thread()
    torment.check(producer.exitcode == 0, 'the producer failed')

    one = multiprocessing.Process(target=leave, args=(5,))
    one.start()
    one.join()
    torment.check(one.exitcode == 5, 'wrong exit status')


torment.steady(work)

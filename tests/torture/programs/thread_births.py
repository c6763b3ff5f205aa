"""Threads begin and end by the thousand."""
# variants: thread threading
import thread
import threading
import torment

results = []


def sum_up(number):
    results.append((number, sum(range(number))))


def with_thread(numbers):
    def run(number, done):
        sum_up(number)
        done.release()

    gates = [thread.allocate_lock() for _ in numbers]
    for number, gate in zip(numbers, gates):
        gate.acquire()
        thread.start_new_thread(run, (number, gate))
    for gate in gates:
        gate.acquire()


def with_threading(numbers):
    threads = [threading.Thread(target=sum_up, args=(number,)) for number in numbers]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
        torment.check(not one.isAlive(), 'joined, but alive')
    torment.check(threading.activeCount() == 1, 'more threads than there should be')


def work():
    del results[:]
    for wave in range(10):
        globals()['with_' + torment.variant](range(wave * 20, wave * 20 + 20))
    torment.check(sorted(results) == [(n, n * (n - 1) // 2) for n in range(200)], 'wrong sums')


torment.steady(work)

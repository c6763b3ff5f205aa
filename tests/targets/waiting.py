"""Waits over and over in one way, and checks each wait. usage: waiting.py KIND

A wait must not end early, late or with an error; with "alarm" and "pause" each must be ended at once by a signal that
has a handler. Prints what was wrong, if anything. Ends with status 7 once it has read a line.
"""
import errno
import mmap
import os
import resource
import select
import signal
import socket
import sys
import threading
import time

SHORT = 0.05
# Another program may have the processor meanwhile.
LATE = 5.0


def fail(what):
    sys.stdout.write('wrong: %s\n' % (what,))
    sys.stdout.flush()
    os._exit(1)


def is_over():
    try:
        return select.select([sys.stdin], [], [], 0)[0]
    except select.error:
        # A signal that waits ends even this: the program's own, or the C library's for a change of the user.
        if sys.argv[1] not in ('alarm', 'pause', 'changing_user') or sys.exc_info()[1].args[0] != errno.EINTR:
            raise


def timed(wait):
    while not is_over():
        begun = time.time()
        wait()
        took = time.time() - begun
        # The clock that waits use may be a little ahead of that of time().
        if not SHORT - 0.002 <= took < SHORT + LATE:
            fail('a wait of %r s took %r s' % (SHORT, took))


def sleep():
    timed(lambda: time.sleep(SHORT))


def select_():
    nothing = os.pipe()
    timed(lambda: select.select([nothing[0]], [], [], SHORT))


def poll():
    poll = select.poll()
    timed(lambda: poll.poll(SHORT * 1000))


def epoll():
    nothing = os.pipe()
    epoll = select.epoll()
    epoll.register(nothing[0])
    timed(lambda: epoll.poll(SHORT))


def endless_epoll():
    numbers = fed()
    epoll = select.epoll()
    epoll.register(numbers, select.EPOLLIN)
    number = 0
    while not is_over():
        epoll.poll()
        number = check(os.read(numbers, 8), number)


def pipe():
    numbers = fed()
    number = 0
    while not is_over():
        number = check(os.read(numbers, 8), number)


def check(text, number):
    if text != '%08d' % number:
        fail('%r instead of %d' % (text, number))
    return number + 1


def fed():
    """Has a child write numbers to a pipe."""
    numbers, feed = os.pipe()
    if os.fork() == 0:
        number = 0
        while True:
            time.sleep(0.005)
            try:
                os.write(feed, '%08d' % number)
            except OSError:
                os._exit(0)
            number += 1
            if os.getppid() == 1:
                os._exit(0)
    os.close(feed)
    return numbers


def connection():
    one, other = socket.socketpair()
    other.settimeout(SHORT)

    def receive():
        try:
            other.recv(1)
            fail('nobody sent anything')
        except socket.timeout:
            pass
    timed(receive)


def child():
    while not is_over():
        pid = os.fork()
        if pid == 0:
            time.sleep(SHORT)
            os._exit(3)
        if os.waitpid(pid, 0)[1] != 3 << 8:
            fail('the child has ended otherwise')


def lock():
    threads(lambda: time.sleep(0.001))


def threads(work):
    gate = threading.Condition()

    def beside():
        while True:
            gate.acquire()
            work()
            gate.notify()
            gate.wait(1)
            gate.release()
    for _ in range(3):
        one = threading.Thread(target=beside)
        one.setDaemon(True)
        one.start()
    while not is_over():
        gate.acquire()
        gate.wait(1)
        gate.notify()
        gate.release()
    # A daemon thread may wake while the interpreter is taken apart.
    leave()


def changing_user():
    # The C library has all threads take a signal for that, and waits for them.
    threads(lambda: os.setuid(os.getuid()))


def mapped_twice():
    # Its C library and its interpreter are mapped as data too, at lower addresses.
    kept = []
    for line in open('/proc/self/maps').readlines():
        fields = line.split()
        if ('libc' in line or 'python' in line) and fields[2] == '00000000':
            with_name = open(fields[5])
            kept.append(mmap.mmap(with_name.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ))
    if len(kept) < 2:
        fail('too few are mapped')
    sleep()


def without_memory():
    # No thread can be started: its stack is larger than what is left.
    former = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(open('/proc/self/statm').read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (1 << 20), former[1]))
    sleep()
    resource.setrlimit(resource.RLIMIT_AS, former)


def computing():
    count = 0
    while count % 10000 or not is_over():
        count += 1


def allocate():
    kept = [[str(number) * (number % 90) for number in range(100)] for _ in range(20)]
    kept.append(dict([(number, object()) for number in range(500)]))
    if [len(one) for one in kept] != [100] * 20 + [500]:
        fail('damaged')


def allocating():
    while not is_over():
        allocate()


def allocating_threads():
    threads(allocate)


class Handled(object):
    count = 0

    def __call__(self, *_):
        self.count += 1


def interrupted(wait):
    while not is_over():
        begun = time.time()
        wait()
        took = time.time() - begun
        if took > 0.9:
            fail('a wait was not interrupted for %r s' % took)


def alarm():
    signal.signal(signal.SIGALRM, Handled())
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)

    def wait():
        try:
            time.sleep(1)
        except IOError:
            if sys.exc_info()[1].errno != errno.EINTR:
                raise
    interrupted(wait)


def pause():
    signal.signal(signal.SIGALRM, Handled())
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    interrupted(signal.pause)


def leave():
    sys.stdout.flush()
    os._exit(7)


def main():
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    name = sys.argv[1]
    globals()[{'select': 'select_'}.get(name, name)]()
    leave()


if __name__ == '__main__':
    main()

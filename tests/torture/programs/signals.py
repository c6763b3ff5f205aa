"""A storm of signals: a timer's, children's, and a wakeup descriptor."""
# variants: timer children wakeup
import errno
import fcntl
import os
import select
import signal
import threading
import time
import torment

seen = []


def patiently(call, *arguments):
    """Call it again whenever a signal has interrupted it."""
    while True:
        try:
            return call(*arguments)
        except (OSError, IOError, select.error), error:
            if error.args[0] != errno.EINTR:
                raise


def timer():
    signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for turn in range(15):
        torment.check(sum(range(20000)) == 199990000, 'wrong sum')
        reader, writer = os.pipe()
        later = threading.Timer(0.004, os.write, (writer, 'word'))
        patiently(later.start)
        torment.check(patiently(select.select, [reader], [], [], 10)[0], 'nothing was written')
        torment.check(patiently(os.read, reader, 9) == 'word', 'not what was written')
        patiently(later.join)
        os.close(reader)
        os.close(writer)
    signal.setitimer(signal.ITIMER_REAL, 0)
    torment.check(len(seen) > 10, 'only %d alarms' % len(seen))


def children():
    def reap(*_):
        while True:
            try:
                child, status = patiently(os.waitpid, -1, os.WNOHANG)
            except OSError:
                return
            if child == 0:
                return
            seen.append((child, status))

    signal.signal(signal.SIGCHLD, reap)
    expected = []
    for code in range(15):
        child = os.fork()
        if child == 0:
            os._exit(code)
        expected.append((child, code << 8))
    patience = time.time() + 10
    while len(seen) < 15 and time.time() < patience:
        time.sleep(0.001)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    torment.check(sorted(seen) == sorted(expected), 'a child was lost: %r' % seen)


def wakeup():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    signal.set_wakeup_fd(writer)
    for turn in range(1, 200):
        os.kill(os.getpid(), signal.SIGUSR1)
        torment.check(patiently(select.select, [reader], [], [], 10)[0], 'the signal was lost')
        torment.check(len(os.read(reader, 9)) == 1, 'one signal, several bytes')
        torment.check(len(seen) == turn, '%d signals, %d handled' % (turn, len(seen)))
    signal.set_wakeup_fd(-1)
    os.close(reader)
    os.close(writer)


def work():
    del seen[:]
    globals()[torment.variant]()


torment.steady(work)

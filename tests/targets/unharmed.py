"""Does work that an agent could disturb, asks itself meanwhile, and prints `unharmed` if all is well.

usage: unharmed.py finished | exceptions | crowd | walks | forks | left_behind | handler |
threading_after_fork | importing
"""
import ctypes
import gc
import imp
import os
import resource
import signal
import sys
import threading
import time
import weakref

ask = ctypes.CDLL(None).sleeper_agent_state
ask.restype = ctypes.c_char_p


def start(work, *arguments):
    one = threading.Thread(target=work, args=arguments)
    one.setDaemon(True)
    one.start()
    return one


def told(text):
    return text.count('### Thread ')


def status_of(child):
    while True:
        try:
            return os.waitpid(child, 0)[1]
        except OSError:
            pass  # Interrupted by the alarm.


class Thing(object):
    pass


def finished():
    """A thread's objects die with it, without a garbage collection."""
    gc.collect()
    gc.disable()
    left = []

    def work(begun, end):
        thing = Thing()
        left.append(weakref.ref(thing))
        begun.set()
        end.wait()

    for _ in range(50):
        begun, end = threading.Event(), threading.Event()
        one = start(work, begun, end)
        begun.wait()
        # The previous thread may still be ending, after join().
        assert told(ask()) in (2, 3)
        end.set()
        one.join()
    alive = [ref for ref in left if ref() is not None]
    assert not alive, '%d things of finished threads are alive' % len(alive)
    assert not gc.isenabled()


def exceptions():
    """sys.exc_type and the like keep the values of the program's own except clause."""
    def legacy():
        try:
            raise ValueError('mine')
        except ValueError:
            for _ in range(3):
                ask()
            return sys.exc_type, str(sys.exc_value), sys.exc_info()[0]

    # A missing file makes linecache catch an exception.
    names = {'sys': sys, 'ask': ask, 'legacy': legacy}
    eval(compile('def gone():\n    return legacy()\n', 'gone-%d.py' % os.getpid(), 'exec'), names)
    assert names['gone']() == (ValueError, 'mine', ValueError), names['gone']()


def module():
    sys.path.insert(0, sys.argv[2])
    import sleeper_agent
    return sleeper_agent._sleeper_agent_activation.sleeper_agent_state


def crowd():
    """Many threads ask at once, and each gets an answer."""
    state = module()
    found = []

    def asking():
        for _ in range(300):
            found.append(state())

    asking_threads = [start(asking) for _ in range(4)]
    for one in asking_threads:
        one.join()
    assert len(found) == 1200
    walks = [text for text in found if not text.startswith('### Thread ')]
    assert not walks, '%d of them: %s' % (len(walks), walks[0])


def walks():
    """Many threads ask at once, and the answers are read from memory."""
    state = module()
    found = []
    begun = threading.Event()

    def asking():
        begun.wait()
        for _ in range(200):
            text = state()
            found.append(text.startswith('### Read from memory') and text.endswith('\n'))

    asking_threads = [start(asking) for _ in range(4)]
    # There is no memory to answer otherwise.
    former = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(open('/proc/self/statm').read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (3 << 20), former[1]))
    begun.set()
    for one in asking_threads:
        one.join()
    resource.setrlimit(resource.RLIMIT_AS, former)
    assert found == [True] * 800, found.count(False)


def forks():
    """Signals and forks during an answer: each child has its collector and its agent."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    stop = []

    def deep(frames, gate):
        if frames:
            deep(frames - 1, gate)
        else:
            gate.acquire()

    def asking():
        while not stop:
            ask()

    # Enough frames that signals and forks arrive while the agent collects them.
    gate = threading.Lock()
    gate.acquire()
    threading.stack_size(256 * 1024)
    for _ in range(60):
        start(deep, 30, gate)

    one = start(asking)
    if hasattr(signal, 'setitimer'):
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for _ in range(150):
            # Waits for the GIL while the agent collects the stacks, unless a signal comes.
            for number in range(3000):
                str(number)
            child = os.fork()
            if child == 0:
                if hasattr(signal, 'setitimer'):
                    signal.setitimer(signal.ITIMER_REAL, 0)
                stopped = not gc.isenabled()
                os._exit(stopped + 2 * (not ask().startswith('### Thread ')))
            status = status_of(child)
            assert status == 0, 'a child ended with %#x' % status
    finally:
        if hasattr(signal, 'setitimer'):
            signal.setitimer(signal.ITIMER_REAL, 0)
        stop.append(True)
        one.join()
    assert gc.isenabled()


def left_behind():
    """The parent's threads are not shown in the child."""
    def parents():
        time.sleep(60)

    def childs():
        time.sleep(60)

    def expect(text, number):
        assert text.startswith('### Thread '), text
        assert told(text) == number and text.count('in childs') == number - 1, text
        assert 'in parents' not in text, text

    for _ in range(3):
        start(parents)
    time.sleep(0.2)
    assert told(ask()) == 4
    child = os.fork()
    if child:
        assert status_of(child) == 0
        return
    try:
        for _ in range(3):
            start(childs)
        time.sleep(0.2)
        expect(ask(), 4)
        grandchild = os.fork()
        if grandchild == 0:
            start(childs)
            time.sleep(0.2)
            expect(ask(), 2)
            os._exit(0)
        os._exit(status_of(grandchild) and 1)
    finally:
        sys.excepthook(*sys.exc_info())
        os._exit(2)


def handler():
    """A child forked in a signal handler, which stays there, has its agent too."""
    found = []

    def fork(*_):
        child = os.fork()
        if child == 0:
            time.sleep(0.2)
            os._exit(not ask().startswith('### Thread '))
        found.append(status_of(child))

    signal.signal(signal.SIGUSR1, fork)
    os.kill(os.getpid(), signal.SIGUSR1)
    while not found:
        time.sleep(0.01)
    assert found == [0], found


def threading_after_fork():
    """The interpreter calls `threading._after_fork` in a child only if the program has threads."""
    calls = []
    original = threading._after_fork

    def after_fork():
        calls.append(os.getpid())
        original()

    def child(fork, check):
        number = fork()
        if number == 0:
            os._exit(not check())
        return status_of(number) == 0

    def not_called():
        return calls == [] and threading._after_fork is after_fork

    def called():
        return calls == [os.getpid()] and threading._after_fork is after_fork

    def not_called_and_asked():
        return not_called() and ask().startswith('### Thread ') and not_called()

    def not_called_in_a_grandchild():
        return not_called() and child(os.fork, not_called_and_asked)

    threading._after_fork = after_fork
    for _ in range(3):
        assert child(os.fork, not_called)
        assert child(os.fork, not_called_and_asked)
        assert child(os.fork, not_called_in_a_grandchild)
        # It forks behind the interpreter's back, and then properly.
        assert child(ctypes.CDLL(None).fork, lambda: child(os.fork, not_called_and_asked))
    # By then the agent has run Python in this process.
    assert told(ask()) == 1
    assert child(os.fork, not_called_in_a_grandchild)

    in_handler = []
    signal.signal(signal.SIGUSR1, lambda *_: in_handler.append(child(os.fork, not_called_and_asked)))
    os.kill(os.getpid(), signal.SIGUSR1)
    while not in_handler:
        time.sleep(0.01)
    assert in_handler == [True]

    end = threading.Event()
    one = start(end.wait)
    for _ in range(3):
        assert child(os.fork, called)
        assert child(os.fork, lambda: called() and child(os.fork, lambda: len(calls) == 2))
    end.set()
    one.join()
    assert not_called()


def importing():
    """Another thread imports, possibly for ever."""
    begun, end = threading.Event(), threading.Event()

    def work():
        imp.acquire_lock()
        begun.set()
        end.wait()
        imp.release_lock()

    one = start(work)
    begun.wait()
    text = ask()
    end.set()
    one.join()
    assert text.startswith('### Thread '), text


globals()[sys.argv[1]]()
sys.stdout.write('unharmed\n')

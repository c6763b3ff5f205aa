"""Makes the agent's own work fail, asks it, and carries on. usage: faulty.py KIND

The preloaded embedded/refuse.c refuses resources. Each kind ends with "went on" and status 7, once
it has read a line.
"""
import __builtin__
import ctypes
import gc
import linecache
import os
import resource
import sys
import threading
import time

library = ctypes.CDLL(None)
state = library.sleeper_agent_state
state.restype = ctypes.c_char_p


def refuse(kind, skip, times):
    library.refuse(kind, skip, times)


def expect(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError('no %r in %r' % (part, text[:2000]))


def usual():
    """Asks now, and checks that the agent answers as usual."""
    text = state()
    expect(text, ', in <module>\n    globals()[sys.argv[1]]()\n')
    assert text.startswith('### Thread '), text[:300]
    return text


def walked(*why):
    """Asks now, and checks that the agent reads from memory and says why."""
    text = state()
    assert text.startswith('### Read from memory'), text[:300]
    expect(text.split('\n')[0], *why)
    expect(text, '\n### Thread ', ', in <module>\n')
    return text


def one_line(*parts):
    """Asks now, and checks that the agent says in one line why it has no answer."""
    text = state()
    assert text.count('\n') == 1 and text[-1] == '\n', text[:2000]
    expect(text, *parts)


def deep(frames, gate):
    if frames > 1:
        deep(frames - 1, gate)
    else:
        gate.acquire()


def start_deep(count, frames):
    gate = threading.Lock()
    gate.acquire()
    for _ in range(count):
        one = threading.Thread(target=deep, args=(frames, gate))
        one.setDaemon(True)
        one.start()
    time.sleep(0.2)


def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


NO_THREAD = 'the agent could not start its thread (EAGAIN'
NO_WORKER = 'the agent could not start its worker (EAGAIN'


def no_thread():
    # REFUSE has refused it from the start.
    for _ in range(3):
        walked(NO_THREAD)
    # It is no longer refused.
    in_child(usual)


def no_thread_at_first():
    usual()


def asked_from_outside():
    pass


def no_worker():
    walked(NO_WORKER)
    usual()


def no_thread_in_child():
    usual()
    refuse('thread', 0, -1)
    in_child(lambda: (walked(NO_THREAD), refuse('thread', 0, 0), in_child(usual)))
    refuse('thread', 0, 0)
    in_child(usual)
    usual()


def no_thread_for_real():
    usual()
    only_the_sleeper()
    # One thread of the program, one of the agent, and one of the child: the child's agent gets none. Later the
    # parent's agent gets a worker, and nothing that reads files.
    resource.setrlimit(resource.RLIMIT_NPROC, (3, 3))
    os.setuid(int(sys.argv[2]))
    in_child(lambda: walked(NO_THREAD))
    expect(state(), ', in <module>\n    (source not read: the agent could start no thread that reads files)\n')


def little_memory():
    """With enough memory to answer for few threads, but not for many."""
    usual()
    former = resource.getrlimit(resource.RLIMIT_AS)

    def limited(ask, *expected):
        pages = int(open('/proc/self/statm').read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (6 << 20), former[1]))
        try:
            ask(*expected)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, former)

    limited(usual)
    start_deep(200, 1)
    for _ in range(2):
        limited(walked, 'there was no memory for the answer')
    usual()


def no_page():
    start_deep(20, 30)
    # These questions come while the GIL is held: the agent has to read memory.
    holding = ctypes.PyDLL(None).sleeper_agent_state
    holding.restype = ctypes.c_char_p
    texts = []
    # Refuse every page, the first two sizes tried, nothing.
    for times in (-1, 2, 0):
        refuse('page', 0, times)
        texts.append(holding())
    cut, small, whole = texts
    expect(whole.split('\n')[0], '### Read from memory', 'the calling thread holds the GIL')
    assert whole.count('### Thread ') == 21 and small == whole, whole
    end = '\n... cut here: no memory for more\n'
    assert cut.endswith(end) and 3900 < len(cut) < 4096, cut
    assert whole.startswith(cut[:-len(end)]), cut


def no_copy():
    start_deep(60, 30)
    # The interpreter is asked for a line of a file that is nowhere, after the files have been read.
    wait = eval(compile('lambda gate: gate.acquire()', '<nowhere>', 'eval'))
    gate = threading.Lock()
    gate.acquire()
    one = threading.Thread(target=wait, args=(gate,))
    one.setDaemon(True)
    one.start()
    # Once it is there, the agent has compiled what asks.
    while '<nowhere>' not in usual():
        time.sleep(0.01)
    assert len(usual()) > 100000
    before = len(gc.get_objects())
    # There is no memory to begin, for so many threads, to continue after the files have been read,
    # for the copy.
    for kind, skip in 4 * [('page', 0), ('page', 1), ('page', 2), ('copy', 0)]:
        refuse(kind, skip, 1)
        walked('there was no memory for the answer')
    assert len(usual()) > 100000
    left = len(gc.get_objects()) - before
    assert left < 10, left


def no_readv():
    # This question comes while the GIL is held: the agent has to read memory.
    holding = ctypes.PyDLL(None).sleeper_agent_state
    holding.restype = ctypes.c_char_p
    texts = []
    for kind, times in (('open', -1), ('readv', -1), ('open', 0)):
        refuse(kind, 0, times)
        texts.append(holding())
    by_call, neither, by_file = texts
    expect(by_call.split('\n')[0], '### Read from memory', 'the calling thread holds the GIL')
    expect(by_call, ', in no_readv\n')
    assert neither.count('\n') == 1, neither
    expect(neither, 'no Python frames were found in memory; ')
    assert by_file == by_call, by_file
    usual()


class Broken(object):
    """A replacement for whatever the agent might rely on."""
    def __call__(self, *_):
        raise RuntimeError('this is broken')

    def __getattr__(self, name):
        raise RuntimeError('this is broken')


def break_names():
    """The agent neither calls nor needs replacements of built-in names."""
    asked = []
    put = setattr
    before = dict([(name, value) for name, value in vars(__builtin__).items()
                   if not name.startswith('__') and name != 'None'])
    for name in before:
        put(__builtin__, name, lambda *_: asked.append(1))
    text = state()
    for name in before:
        put(__builtin__, name, before[name])
    assert asked == [], asked
    assert text.startswith('### Thread '), text[:300]
    expect(text, ', in break_names\n    text = state()\n')


def break_attribute(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    text = state()
    setattr(owner, name, before)
    expect(text, ', in break_attribute\n', '### Thread ')


def break_all():
    break_names()
    for value in (None, Broken(), lambda: 7, lambda: {'a': 'b'}):
        break_attribute(sys, '_current_frames', value)
    for value in (None, Broken(), lambda *_: 7, lambda *_: sys.exit(3)):
        break_attribute(linecache, 'getline', value)
    for value in (None, Broken(), lambda *_: sys.exit(3)):
        break_attribute(linecache, 'checkcache', value)
    for value in (None, Broken(), [], 7):
        break_attribute(linecache, 'cache', value)


def broken_before():
    break_all()
    usual()


def broken_between():
    usual()
    break_all()
    usual()


def nonsense_module():
    before = sys.modules['linecache']
    for value in (None, 7, Broken()):
        sys.modules['linecache'] = value
        expect(state(), ', in nonsense_module\n', '### Thread ')
    sys.modules['linecache'] = before
    usual()


def dying(how, *then):
    """A module's loader ends the worker, which asks the loader for source."""
    ended = []

    class Loader(object):
        def get_source(self, name):
            if not ended:
                ended.append(threading.currentThread())
                how()
            return ''

    gate = threading.Lock()
    gate.acquire()
    names = {'__name__': 'deadly', '__loader__': Loader(), 'gate': gate}
    eval(compile('def wait_here():\n    gate.acquire()\n', 'deadly.py', 'exec'), names)
    one = threading.Thread(target=names['wait_here'])
    one.setDaemon(True)
    one.start()
    time.sleep(0.2)
    begun = time.time()
    text = state()
    assert time.time() - begun < 3, time.time() - begun
    expect(text.split('\n')[0], '### Read from memory', 'was not done within 0.5 s')
    expect(text, ', in wait_here\n')
    assert ended
    # The next question starts a new worker, if the system grants one.
    if then:
        walked(*then)
    expect(usual(), ', in wait_here\n')


def worker_exits():
    for _ in range(5):
        dying(lambda: library.syscall(60, 0))


def worker_exits_unrevived():
    def exit_and_refuse():
        refuse('thread', 0, 3)
        library.syscall(60, 0)

    dying(exit_and_refuse, NO_WORKER)


def worker_ends_itself():
    dying(lambda: library.pthread_exit(0))


def only_the_sleeper():
    """Waits until the agent has its thread that sleeps, and no other."""
    until = time.time() + 20
    while len(os.listdir('/proc/self/task')) != 2:
        assert time.time() < until, os.listdir('/proc/self/task')
        time.sleep(0.01)


def panics():
    """With a library that panics where the environment says so: on the worker, holding the GIL and
    the garbage collector; on each other thread of the agent, and on the asking thread."""
    def panicking(place, ask, *expected):
        os.environ['SLEEPER_AGENT_PANIC'] = place
        begun = time.time()
        text = ask(*expected)
        assert time.time() - begun < 0.4, time.time() - begun
        del os.environ['SLEEPER_AGENT_PANIC']
        return text

    usual()
    only_the_sleeper()
    for _ in range(20):
        panicking('working', walked, 'the agent failed; please report it: panicked at ',
                  'on purpose, working')
        assert gc.isenabled()
        panicking('parked', state)
        until = time.time() + 20
        while not state().startswith('### Thread '):
            assert time.time() < until, state()
            time.sleep(0.01)
        panicking('asking', one_line, 'the agent failed; please report it: panicked at ',
                  'on purpose, asking')
        panicking('reading', usual)
        usual()
    only_the_sleeper()


globals()[sys.argv[1]]()
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write('went on\n')
sys.exit(7)

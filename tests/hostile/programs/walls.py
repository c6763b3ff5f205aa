"""A program that fences itself in, step by step.

Usage: walls.py STEP...

Each STEP is WORD or WORD=VALUE, see the functions below. The program makes the steps and prints one line
for each, `STEP done` or `STEP ERRNO`; then `ready`. Then it makes each step that comes as a line of standard
input, and prints the same. It ends with status 7 at an empty line, and writes nothing to standard error.
"""
import ctypes
import errno
import fcntl
import os
import resource
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
memory = []


class Header(ctypes.Structure):
    _fields_ = [('version', ctypes.c_uint32), ('pid', ctypes.c_int)]


class Data(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ('effective', 'permitted', 'inheritable')]


class Instruction(ctypes.Structure):
    _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8), ('jf', ctypes.c_uint8),
                ('k', ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_uint16), ('code', ctypes.POINTER(Instruction))]


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def keep(mask):
    """Keeps these capabilities, by capset, and no other."""
    low, high = int(mask, 16) & 0xffffffff, int(mask, 16) >> 32
    header = Header(0x20080522, 0)
    data = (Data * 2)(Data(low, low, 0), Data(high, high, 0))
    checked(libc.syscall(126, ctypes.byref(header), data))


def bound(capability):
    """Takes a capability out of the bounding set."""
    checked(libc.prctl(24, int(capability), 0, 0, 0))


def secure(bits):
    """Sets the secure bits."""
    checked(libc.prctl(28, int(bits), 0, 0, 0))


def no_new_privileges(_):
    checked(libc.prctl(38, 1, 0, 0, 0))


def filtered(number, verdict, flags):
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, int(number)), (0x06, 0, 0, verdict), (0x06, 0, 0, 0x7fff0000)]
    install(code, flags)


def install(code, flags):
    code = (Instruction * len(code))(*[Instruction(*one) for one in code])
    program = Program(len(code), code)
    no_new_privileges('')
    checked(libc.syscall(317, 1, flags, ctypes.byref(program)))


def refuse(value):
    """NUMBER:ERRNO: a filter on this thread that refuses a system call."""
    number, error = value.split(':')
    filtered(number, 0x50000 | int(error), 0)


def forbid(number):
    """A filter on this thread that kills for a system call."""
    filtered(number, 0x80000000, 0)


def only_threads(_):
    """A filter on this thread that kills for a new process, and lets threads be started by clone(2)."""
    code = [(0x20, 0, 0, 0), (0x15, 5, 0, 435), (0x15, 0, 3, 56), (0x20, 0, 0, 16), (0x45, 1, 0, 0x10000),
            (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x50000 | errno.ENOSYS)]
    install(code, 0)


def old(number):
    """A filter on this thread that makes the kernel look old: it knows no system call above this number."""
    code = [(0x20, 0, 0, 0), (0x25, 0, 1, int(number)), (0x06, 0, 0, 0x50000 | errno.ENOSYS),
            (0x06, 0, 0, 0x7fff0000)]
    install(code, 0)


def refuse_all(value):
    """NUMBER:ERRNO: the same as refuse, on all threads."""
    number, error = value.split(':')
    filtered(number, 0x50000 | int(error), 1)


def forbid_all(number):
    filtered(number, 0x80000000, 1)


def unshare(flags):
    checked(libc.unshare(int(flags, 16)))


def raw_setuid(user):
    """By the bare system call: of this thread alone."""
    checked(libc.syscall(105, int(user)))


def thread(_):
    """Starts a thread that sleeps."""
    event = threading.Event()
    one = threading.Thread(target=event.wait)
    one.setDaemon(True)
    one.start()


def numbers(_):
    """Starts a thread that frees the lowest free number and takes it again, all the time. Once another descriptor
    is there, or was closed by anybody else, the program ends with status 8."""
    one = threading.Thread(target=take_numbers)
    one.setDaemon(True)
    one.start()


def take_numbers():
    other = os.open('/dev/null', os.O_RDONLY)
    lowest = os.open('/dev/null', os.O_RDONLY)
    try:
        while True:
            os.close(lowest)
            time.sleep(0.0003)
            got = os.open('/dev/null', os.O_RDONLY)
            if got != lowest:
                raise OSError(0, 'got %d instead of %d' % (got, lowest))
            os.close(lowest)
            time.sleep(0.0003)
            os.dup2(other, lowest)
            os.fstat(lowest)
    except EnvironmentError:
        sys.stderr.write('%s\n' % sys.exc_info()[1])
        os._exit(8)


def lock(_):
    """Locks its own source."""
    source = open(os.path.abspath(__file__))
    memory.append(source)
    fcntl.lockf(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
    has_lock('')


def has_lock(_):
    """ENOLCK if the lock is gone."""
    inode = os.fstat(memory[0].fileno()).st_ino
    for line in open('/proc/locks'):
        words = line.split()
        if words[1] == 'POSIX' and words[4] == str(os.getpid()) and words[5].endswith(':%d' % inode):
            return
    raise OSError(errno.ENOLCK, '')


def processes(value):
    """COUNT:USER: changes the user to one who may have so many processes and threads."""
    count, user = value.split(':')
    os.setuid(int(user))
    resource.setrlimit(resource.RLIMIT_NPROC, (int(count), int(count)))


def hold_and_setuid(value):
    """MILLISECONDS:USER: keeps the GIL for so long, and changes the user before anybody else gets it."""
    pause, user = value.split(':')
    interval = sys.getcheckinterval()
    sys.setcheckinterval(1 << 30)
    ctypes.PyDLL(None).usleep(int(pause) * 1000)
    os.setuid(int(user))
    sys.setcheckinterval(interval)


def fill_memory(_):
    """Takes all the memory that the process may have."""
    pages = int(open('/proc/self/statm').read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096, resource.RLIM_INFINITY))
    for size in (1 << 20, 1 << 16, 4096, 512, 64):
        try:
            while True:
                memory.append(bytearray(size))
        except MemoryError:
            pass


def free_memory(_):
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    del memory[:]


def execute(rest):
    """Becomes this program again, with the preloaded library in `WALLS_LIBRARY`."""
    os.environ['LD_PRELOAD'] = os.environ.pop('WALLS_LIBRARY', '')
    steps = rest.split(',') if rest else []
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, __file__] + steps)


STEPS = {
    'keep': keep, 'bound': bound, 'secure': secure, 'no_new_privileges': no_new_privileges,
    'old': old, 'only_threads': only_threads, 'refuse': refuse, 'forbid': forbid, 'refuse_all': refuse_all,
    'forbid_all': forbid_all,
    'unshare': unshare, 'raw_setuid': raw_setuid, 'thread': thread, 'execute': execute,
    'chroot': os.chroot, 'numbers': numbers, 'lock': lock, 'has_lock': has_lock, 'processes': processes,
    'hold_and_setuid': hold_and_setuid, 'fill_memory': fill_memory, 'free_memory': free_memory,
    'setuid': lambda value: os.setuid(int(value)),
    'seteuid': lambda value: os.seteuid(int(value)),
    'setgid': lambda value: os.setgid(int(value)),
    'setgroups': lambda value: os.setgroups([int(one) for one in value.split(':')]),
    'setreuid': lambda value: os.setreuid(*[int(one) for one in value.split(':')]),
}


def make(step):
    word, _, value = step.partition('=')
    try:
        STEPS[word](value)
        outcome = 'done'
    except (OSError, IOError):
        outcome = errno.errorcode[sys.exc_info()[1].errno]
    sys.stdout.write('%s %s\n' % (step, outcome))
    sys.stdout.flush()


def wait():
    while True:
        line = sys.stdin.readline().strip()
        if not line:
            os._exit(7)
        make(line)


for each in sys.argv[1:]:
    make(each)
sys.stdout.write('ready\n')
sys.stdout.flush()
wait()

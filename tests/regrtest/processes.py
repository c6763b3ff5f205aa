"""What /proc says about the processes of a test."""
import errno
import os
import signal
import sys

# A variable in the environment of a test and of all its descendants, even daemons.
MARK = 'SLEEPER_REGRTEST_MARK'


def read(pid, name):
    """A file of /proc/PID; empty if there is no such process (any more)."""
    try:
        opened = open('/proc/%d/%s' % (pid, name), 'rb')
    except IOError:
        return ''
    try:
        return opened.read()
    except IOError:
        return ''
    finally:
        opened.close()


def fields_of_stat(pid):
    """The fields of /proc/PID/stat behind the name; none if there is no such process."""
    return read(pid, 'stat').rpartition(')')[2].split()


def state_and_parent(pid):
    """The state letter and the parent's PID; None if there is no such process."""
    fields = fields_of_stat(pid)
    if len(fields) < 2:
        return None
    return fields[0], int(fields[1])


def of_a_living_thread(pid, name):
    """A file that /proc/PID loses when the main thread ends, read from another thread."""
    text = read(pid, name)
    if not text:
        try:
            threads = os.listdir('/proc/%d/task' % pid)
        except OSError:
            threads = []
        for thread in threads:
            text = text or read(pid, 'task/%s/%s' % (thread, name))
    return text


def has_ended(pid, state):
    """Whether it is a zombie, and not a process of which only the main thread has ended."""
    return state in 'ZX' and not of_a_living_thread(pid, 'maps')


def family(pid, mark):
    """A process and its descendants, by parentage and by the mark; zombies left out."""
    entry = '%s=%s' % (MARK, mark)
    parents, members = {}, set([pid])
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        one = int(name)
        told = state_and_parent(one)
        if told and not has_ended(one, told[0]):
            parents[one] = told[1]
            if entry in of_a_living_thread(one, 'environ').split('\0'):
                members.add(one)
    grown = True
    while grown:
        more = set(one for one in parents if parents[one] in members)
        grown = not more <= members
        members |= more
    return [one for one in members if one in parents]


def carries(pid, library):
    """Whether the library is mapped into the process."""
    return library in of_a_living_thread(pid, 'maps')


def runs(pid, program):
    """Whether a process runs this program."""
    try:
        return os.readlink('/proc/%d/exe' % pid) == os.path.realpath(program)
    except OSError:
        return False


def age(pid):
    """How long ago a process was started, in seconds; 0 if there is no such process."""
    fields = fields_of_stat(pid)
    if len(fields) < 20:
        return 0
    uptime = float(open('/proc/uptime').read().split()[0])
    return uptime - int(fields[19]) / float(os.sysconf('SC_CLK_TCK'))


def kill(pids):
    """Kills processes by PID."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            if sys.exc_info()[1].errno != errno.ESRCH:
                raise

"""Commands and Python children by the thousand, their pipes checked."""
# ask: tree
# may say: not a Python process
# may say: the agent could not start its worker (EAGAIN
import subprocess
import sys
import torment

CHILD = 'import sys; sys.stdout.write(str(sum(map(len, sys.stdin)))); sys.exit(4)'
DATA = 'a line of data\n' * 20000


def run(command, data=None):
    one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, close_fds=True)
    out, err = one.communicate(data)
    torment.check(err == '', 'it complained: ' + err)
    return one.returncode, out


def work():
    for _ in range(5):
        torment.check(run(['/bin/true']) == (0, ''), 'true is not true')
        torment.check(run(['/bin/cat'], DATA) == (0, DATA), 'cat has changed the data')
    torment.check(run([sys.executable, '-c', CHILD], DATA) == (4, str(len(DATA))), 'wrong count')


torment.steady(work)

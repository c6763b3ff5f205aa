"""The file system hangs where the source of a module was."""
# deadline: 1
# may say: the agent got the GIL, but was not done within
import errno
import os
import sys
import time
import torment

PATH = os.path.join(torment.FOLDER, 'hung_module.py')
SOURCE = 'def run(turns):\n    return sum([sum(range(100)) for _ in range(turns)])\n'
seconds = 0.05


def put_source():
    open(PATH + '.new', 'w').write(SOURCE)
    os.rename(PATH + '.new', PATH)


def let_go():
    """Put the source back, and let a reader that waits at the pipe find its end."""
    os.rename(PATH, PATH + '.fifo')
    put_source()
    patience = time.time() + 0.3
    while time.time() < patience:
        try:
            os.close(os.open(PATH + '.fifo', os.O_WRONLY | os.O_NONBLOCK))
        except OSError, error:
            torment.check(error.errno == errno.ENXIO, str(error))
        torment.check(hung_module.run(100) == 495000, 'wrong sum')
    os.unlink(PATH + '.fifo')


def work():
    # Nobody writes to it: opening it blocks for ever.
    os.mkfifo(PATH + '.new')
    os.rename(PATH + '.new', PATH)
    end = time.time() + seconds
    while time.time() < end:
        torment.check(hung_module.run(100) == 495000, 'wrong sum')
    let_go()


put_source()
sys.path.insert(0, torment.FOLDER)
import hung_module
torment.ready(work)
seconds = 2.5
while torment.goes_on():
    work()
torment.intact()

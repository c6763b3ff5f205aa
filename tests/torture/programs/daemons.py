"""Daemons that close every descriptor and take the first numbers for their own files."""
# ask: tree
import os
import sys
import time
import torment

number = 0


def lasts(descriptor):
    """Whether it stays open for longer than the agent needs to read a source file."""
    for _ in range(10):
        if not os.path.exists('/proc/self/fd/%d' % descriptor):
            return False
        time.sleep(0.05)
    return True


def serve(path):
    os.closerange(0, 4096)
    mine = range(8)
    for one in mine:
        file = os.open('%s.%d' % (path, one), os.O_RDWR | os.O_CREAT)
        if file != one:
            os.dup2(file, one)
            os.close(file)
    files = [os.fstat(one).st_ino for one in mine]
    for turn in range(20):
        for one in mine:
            os.write(one, '%08d' % turn)
        time.sleep(0.02)
    for one in mine:
        os.lseek(one, 0, 0)
        torment.check(os.read(one, 999) == ''.join(['%08d' % turn for turn in range(20)]),
                      'descriptor %d holds something else' % one)
    torment.check(files == [os.fstat(one).st_ino for one in mine], 'a descriptor has been changed')
    others = [one for one in range(8, 64) if lasts(one)]
    torment.check(others == [], 'descriptors of others: %r' % others)


def daemon(path):
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir('/')
        serve(path)
        result = 'fine'
    except:
        result = repr(sys.exc_info())
    os.closerange(0, 8)
    open(path + '.new', 'w').write(result)
    os.rename(path + '.new', path)
    os._exit(0)


def work():
    global number
    number += 1
    path = os.path.join(torment.FOLDER, 'daemon-%d' % number)
    child = os.fork()
    if child == 0:
        daemon(path)
    torment.check(os.waitpid(child, 0)[1] == 0, 'the child in between failed')
    patience = time.time() + 10
    while not os.path.exists(path) and time.time() < patience:
        time.sleep(0.02)
    result = open(path).read()
    torment.check(result == 'fine', 'the daemon: ' + result)
    for name in [path] + ['%s.%d' % (path, n) for n in range(8)]:
        os.unlink(name)


torment.steady(work)

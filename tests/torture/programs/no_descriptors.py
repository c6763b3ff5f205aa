"""All 64 descriptors that it may have are in use, most of the time."""
import errno
import os
import resource
import torment

path = os.path.join(torment.FOLDER, 'page')


def work():
    mine = []
    for number in range(100):
        try:
            mine.append(os.open('%s-%d' % (path, number), os.O_RDWR | os.O_CREAT))
        except OSError, error:
            torment.check(error.errno == errno.EMFILE, str(error))
    # While it answers, the agent may have one.
    torment.check(len(mine) >= 60 and mine[-1] < 64, 'descriptors of others: %r' % mine)
    for turn in range(300):
        for one in mine[turn % 10::10]:
            os.lseek(one, 0, 0)
            os.write(one, '%03d' % one)
            os.lseek(one, 0, 0)
            torment.check(os.read(one, 9) == '%03d' % one, 'another file has this number')
        try:
            os.close(os.dup(0))
        except OSError, error:
            torment.check(error.errno == errno.EMFILE, str(error))
    for one in mine:
        os.close(one)


resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
torment.steady(work)

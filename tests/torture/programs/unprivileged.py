"""Has given up its rights, or forbids that its memory is looked at."""
# variants: nobody undumpable
# needs: root
import ctypes
import errno
import os
import time
import torment

NOBODY = 65534
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
libc = ctypes.CDLL(None)


def work():
    torment.check(libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, 'its memory may be looked at')
    if torment.variant == 'nobody':
        torment.check((os.getuid(), os.geteuid(), os.getgid()) == (NOBODY,) * 3, 'somebody else')
        try:
            os.setuid(0)
        except OSError, error:
            torment.check(error.errno == errno.EPERM, str(error))
        else:
            torment.check(False, 'it is root again')
    torment.crowd(3, lambda number: time.sleep(0.02))


if torment.variant == 'nobody':
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
else:
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
torment.steady(work)

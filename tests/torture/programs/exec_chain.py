"""Becomes Python anew, again and again, in one process."""
# life: brief
# may say: the agent could not start its worker (EAGAIN
import os
import sys
import torment

TIMES = 8
left, first, digits = (sys.argv[1:] + [str(TIMES), str(os.getpid()), ''])[:3]
torment.check(first == str(os.getpid()), 'another process')
torment.check(digits == ''.join(map(str, range(TIMES, int(left), -1))), 'wrong arguments: ' + digits)
if left == '0':
    torment.intact()
else:
    os.execv(sys.executable, [
        sys.executable, sys.argv[0], str(int(left) - 1), first, digits + left])

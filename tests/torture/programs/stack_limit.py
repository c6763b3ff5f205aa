"""Runs with a stack limit of 256 kB, or with none."""
# variants: small unlimited
import os
import resource
import sys
import torment

LIMITS = {'small': 256 * 1024, 'unlimited': resource.RLIM_INFINITY}


def down(depth):
    return depth and down(depth - 1) + depth


def work():
    torment.crowd(4, lambda number: torment.check(
        [down(60) for _ in range(300)] == [1830] * 300, 'wrong sum'))


limit = LIMITS[torment.variant]
if resource.getrlimit(resource.RLIMIT_STACK)[0] != limit:
    resource.setrlimit(resource.RLIMIT_STACK, (limit, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    os.execv(sys.executable, [sys.executable] + sys.argv)
torment.steady(work)

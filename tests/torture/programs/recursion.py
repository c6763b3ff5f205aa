"""Recursion down to the limit, again and again."""
# variants: usual deep
import sys
import threading
import torment

depths = set()


def down(reached):
    reached.append(None)
    down(reached)


def fall(number):
    for _ in range(torment.variant == 'deep' and 3 or 40):
        reached = []
        # Caught here, not further down: at the limit 2.6 cannot even compare exceptions.
        try:
            down(reached)
        except RuntimeError:
            depths.add(len(reached))


def work():
    torment.crowd(2, fall)
    torment.check(len(depths) == 1, 'it reached different depths: %r' % depths)
    torment.check(0 <= sys.getrecursionlimit() - max(depths) < 40, 'it was not the limit')


if torment.variant == 'deep':
    sys.setrecursionlimit(20000)
    threading.stack_size(256 << 20)
torment.steady(work)

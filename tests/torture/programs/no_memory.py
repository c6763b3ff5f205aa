"""There is not a page to be had for a while, then there is again."""
# allocator: its own
# may say: no thread could be started in it (Resource temporarily unavailable
# may say: its loader does not load
# may say: there was no memory for the answer
# may say: there was no memory to send the answer
# may say: the agent could not start its worker (EAGAIN
import resource
import time
import torment

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
statm = open('/proc/self/statm')
failures = [0]


def grow():
    # Every size, so that free memory inside the heaps is taken as well.
    kept = []
    for size in (1 << 20, 1 << 15, 1 << 10, 600, 400, 100, 30):
        try:
            while len(kept) < 100000:
                kept.append('x' * size)
        except MemoryError:
            failures[0] += 1
    return kept


def work():
    statm.seek(0)
    pages = int(statm.read().split()[0])
    failures[0] = 0
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096, resource.RLIM_INFINITY))
    try:
        kept = grow()
        time.sleep(0.15)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, UNLIMITED)
    torment.check(failures[0] > 0, 'there was memory')
    for one in kept:
        torment.check(one.count('x') == len(one), 'a block has changed')
    del kept, one
    time.sleep(0.05)


torment.steady(work)

"""Its address space is limited, and it takes all there is."""
# allocator: its own
# may say: no thread could be started in it (Resource temporarily unavailable
# may say: its loader does not load
# may say: the library is there, but its agent could not start a thread
# may say: there was no memory for the answer
# may say: there was no memory to send the answer
# may say: the agent could not start its worker (EAGAIN
import mmap
import resource
import time
import torment

MEGABYTE = 1 << 20
SIZE = 65536
# The patterns to compare the blocks with.
whole = [letter * SIZE for letter in '0123456789']


def take(kept, make):
    """Make blocks until there is no memory for another; each begins with its number's last digit."""
    try:
        while True:
            kept.append(make('0123456789'[len(kept) % 10]))
    except (MemoryError, mmap.error):
        pass


def mapped(letter):
    block = mmap.mmap(-1, 2 * MEGABYTE)
    block[0] = block[-1] = letter
    return block


def work():
    mappings, blocks = [], []
    take(mappings, mapped)
    for block in mappings[-8:]:
        block.close()
    del mappings[-8:]
    take(blocks, lambda letter: letter * SIZE)
    # Both together: memory that the heap cannot return, because a small block lies at its end, is
    # available to blocks, but no longer to mappings.
    megabytes = 2 * len(mappings) + len(blocks) / 16
    torment.check(megabytes > 48, 'only %d megabytes are left of 64' % megabytes)
    for _ in range(5):
        for kept in mappings, blocks:
            for number, block in enumerate(kept):
                letter = '0123456789'[number % 10]
                torment.check(block[0] == block[-1] == letter, 'a block has changed')
        time.sleep(0.02)
    for block in mappings:
        block.close()
    for number, block in enumerate(blocks):
        torment.check(block == whole[number % 10], 'a block has changed')


pages = int(open('/proc/self/statm').read().split()[0])
# The memory that glibc reserves for the agent's three threads, and a third of it for the program.
limit = pages * 4096 + 256 * MEGABYTE
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
# Interpreters themselves leak an object now and then when memory runs out: the debug build, for
# example, leaves an unused exception set.
torment.slack['objects'] = 150
torment.steady(work)

"""Its address space is limited, and it takes all there is."""
# may say: there was no memory for the answer
# may say: there was no memory to send the answer
# may say: the agent's snippet failed: <type 'exceptions.MemoryError'>
import mmap
import resource
import time
import torment

MEGABYTE = 1 << 20


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
    take(blocks, lambda letter: letter * 65536)
    torment.check(len(mappings) > 5 and len(blocks) > 5, 'not even that much')
    for _ in range(5):
        for kept in mappings, blocks:
            for number, block in enumerate(kept):
                letter = '0123456789'[number % 10]
                torment.check(block[0] == block[-1] == letter, 'a block has changed')
        time.sleep(0.02)
    for block in mappings:
        block.close()
    for number, block in enumerate(blocks):
        torment.check(block == '0123456789'[number % 10] * 65536, 'a block has changed')


pages = int(open('/proc/self/statm').read().split()[0])
# What glibc sets aside for the agent's two threads, and as much again.
limit = pages * 4096 + 256 * MEGABYTE
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
torment.steady(work)

"""Does several things at once and checks its own data. usage: mortal.py

Reads lines. At "how" it prints "rounds NUMBER" as soon as each of its threads has done two rounds
more; at "end" it prints "intact" and ends with status 7.
"""
import os
import Queue
import struct
import sys
import threading
import time
import zlib

counts = {}
ending = []
queue = Queue.Queue(3)
reader, writer = os.pipe()


def fail(what):
    sys.stdout.write('damaged: %s\n' % what)
    sys.stdout.flush()
    os._exit(1)


def memory(number):
    # Allocates blocks of every size, and checks that they stay unchanged.
    words = [str(number + one) * (one % 40) for one in range(300)]
    by_word = dict([(word, one) for one, word in enumerate(words)])
    expected = zlib.crc32(''.join(words))
    kept = [words[by_word[word]] for word in words]
    return kept == words and zlib.crc32(''.join(kept)) == expected


def write(number):
    return os.write(writer, struct.pack('=q', number)) == 8


def read(number):
    return os.read(reader, 8) == struct.pack('=q', number)


def put(number):
    queue.put(number)
    return True


def get(number):
    return queue.get() == number


def forever(one_round):
    name = one_round.__name__
    try:
        while name not in ending:
            if not one_round(counts[name]):
                fail('%s number %d' % (name, counts[name]))
            counts[name] += 1
            time.sleep(0.002)
    except:
        fail('%s: %r' % (name, sys.exc_info()[:2]))


def start(one_round):
    counts[one_round.__name__] = 0
    one = threading.Thread(target=forever, args=(one_round,))
    one.start()
    return one


def how():
    before = dict(counts)
    until = time.time() + 30
    while [name for name in before if counts[name] < before[name] + 2]:
        if time.time() > until:
            fail('no rounds: %r, then %r' % (before, counts))
        time.sleep(0.002)
    sys.stdout.write('rounds %d\n' % sum(counts.values()))
    sys.stdout.flush()


def main():
    at_work = [(one, start(one)) for one in (memory, get, put, read, write)]
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    line = sys.stdin.readline()
    while line == 'how\n':
        how()
        line = sys.stdin.readline()
    # The consumer ends before the producer, which would leave it waiting.
    for one_round, thread in at_work:
        ending.append(one_round.__name__)
        while thread.isAlive():
            thread.join(0.02)
            if one_round is put and queue.full():
                queue.get()
    if line == 'end\n':
        sys.stdout.write('intact\n')
    sys.exit(7)


main()

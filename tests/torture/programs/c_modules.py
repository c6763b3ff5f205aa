"""decimal, re, cPickle, zlib, hashlib and struct, in threads."""
import cPickle
import decimal
import hashlib
import re
import struct
import zlib
import torment

TEXT = ''.join(['%d is %x; ' % (number, number * 7919) for number in range(20000)])
DIGEST = hashlib.sha256(TEXT).hexdigest()


def calculate():
    third = decimal.Decimal(1) / 3
    return sum([third] * 3, decimal.Decimal(0)) == decimal.Decimal('0.9999999999999999999999999999')


def search():
    return [int(word, 16) // 7919 for word in re.findall(' is ([0-9a-f]+);', TEXT)] == range(20000)


def pickle():
    things = [(number, str(number), {number: [number]}) for number in range(2000)]
    return cPickle.loads(cPickle.dumps(things, 2)) == things


def compress():
    return zlib.decompress(zlib.compress(TEXT, 6)) == TEXT


def digest():
    return hashlib.sha256(TEXT).hexdigest() == DIGEST


def pack():
    numbers = range(5000)
    return struct.unpack('5000i', struct.pack('5000i', *numbers)) == tuple(numbers)


def use(number):
    for one in (calculate, search, pickle, compress, digest, pack):
        torment.check(one(), '%s went wrong' % one.__name__)


torment.steady(lambda: torment.crowd(3, use))

"""Cycles, __del__ and weak references keep the garbage collector busy."""
# variants: single many
import gc
import weakref
import torment

died, forgotten, finalized = [], [], []


class Node(object):
    pass


class Mortal(object):
    def __init__(self, ring):
        self.ring = ring

    def __del__(self):
        finalized.append(self.ring.number)


def churn(seed):
    watched = []
    for number in range(400):
        one, other = Node(), Node()
        one.other, other.other = other, one
        one.number = other.number = number
        one.list = [one.__dict__, watched]
        watched.append(weakref.ref(one, forgotten.append))
        # Not in the cycle but held by it: a collection frees it with the cycle.
        other.mortal = Mortal(one.other.other)
        other.mortal.ring = Node()
        other.mortal.ring.number = number
        died.append(number)
        if number % 100 == 99:
            gc.collect()
    torment.references.extend(watched)


def work():
    torment.references = []
    count = torment.variant == 'many' and 6 or 1
    if count > 1:
        torment.crowd(count, churn)
    else:
        churn(0)
    gc.collect()
    torment.check(len(died) == len(forgotten) == len(finalized) == 400 * count,
                  'died %d, forgotten %d, finalized %d' % (len(died), len(forgotten), len(finalized)))
    torment.check(sorted(finalized) == sorted(range(400) * count), 'wrong ones were finalized')
    torment.check([ref for ref in torment.references if ref() is not None] == [], 'one lives on')
    torment.check(gc.isenabled() and not gc.garbage, 'the collector is off, or left garbage')
    del died[:], forgotten[:], finalized[:], torment.references[:]


gc.set_threshold(100, 3, 3)
torment.steady(work)

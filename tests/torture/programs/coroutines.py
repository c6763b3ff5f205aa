"""Generators by the hundred, that send to, throw into and close each other."""
import torment


class Stop(Exception):
    pass


def adder():
    total = 0
    try:
        while True:
            try:
                total += yield total
            except Stop:
                total = -total
    finally:
        closed.append(total)


def chain(source, depth):
    return depth and chain((item + 1 for item in source), depth - 1) or source


def work():
    global closed
    closed = []
    adders = [adder() for _ in range(200)]
    for one in adders:
        one.next()
    for turn in range(30):
        for number, one in enumerate(adders):
            one.send(number)
    for number, one in enumerate(adders):
        torment.check(one.throw(Stop()) == -30 * number, 'wrong sum')
        one.close()
    torment.check(closed == [-30 * number for number in range(200)], 'not closed as they should be')
    torment.check(list(chain(iter(range(100)), 80)) == range(80, 180), 'a wrong chain')


torment.steady(lambda: torment.crowd(1, lambda number: work()) or work())

"""Small objects of many sizes come and go, by way of pymalloc."""
# variants: single many
import random
import torment


class Thing(object):
    def __init__(self, number):
        self.number = number


def make(number):
    return (float(number) + 0.5, (number,) * (number % 20), 'x' * (number % 250),
            [number] * (number % 7), {number: Thing(number)}, number + 10 ** 20)


def churn(seed):
    dice = random.Random(seed)
    kept = {}
    for _ in range(6000):
        number = dice.randrange(3000)
        if number in kept:
            torment.check(kept.pop(number)[:4] == make(number)[:4], 'an object has changed')
        else:
            kept[number] = make(number)
    for number, things in kept.items():
        torment.check(things[4][number].number == number, 'a thing has changed')
        torment.check(things[5] - number == 10 ** 20, 'a long has changed')


def work():
    if torment.variant == 'many':
        torment.crowd(6, churn)
    else:
        churn(1)


torment.steady(work)

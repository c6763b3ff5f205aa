"""Large blocks of memory come, grow and go, by way of malloc."""
# variants: single many
import random
import torment


def churn(number):
    dice = random.Random(number)
    kept = []
    for step in range(120):
        letter = chr(65 + step % 26)
        size = dice.choice((600, 5000, 70000, 300000))
        kept.append((letter, size, dice.choice((str, bytearray))(letter * size)))
        if len(kept) > 8:
            letter, size, block = kept.pop(dice.randrange(8))
            torment.check(len(block) == size == block.count(letter), 'a block has changed')
        row = []
        for item in range(dice.randrange(2000)):
            row.append(item)
        torment.check(row == range(len(row)), 'a list has changed')
        block = bytearray()
        for part in range(20):
            block += letter * 997
        torment.check(block == letter * 997 * 20, 'what grew has changed')


def work():
    if torment.variant == 'many':
        torment.crowd(6, churn)
    else:
        churn(1)


torment.steady(work)

"""Interpreters within the interpreter begin, run and end."""
# needs: cc
import torment

run_inside = torment.native()[0].run_inside
CODE = '''
import sys, time
def nap():
    time.sleep(0.01)
for _ in range(%d):
    nap()
assert sum(range(1000)) == 499500
assert not hasattr(sys, 'mark')
sys.mark = 1
'''


def live(number):
    torment.check(run_inside(CODE % (number * 5)) == 0, 'it failed inside')


def work():
    for _ in range(3):
        live(0)
    torment.crowd(3, live)


# CPython itself leaks much with each interpreter.
torment.steady(work, ['threads', 'descriptors'])

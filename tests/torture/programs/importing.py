"""The import lock is held: by a module that takes its time, or by imp."""
# variants: module imp
import imp
import os
import sys
import threading
import time
import torment

SLOW = 'import time\nfor _ in range(20):\n    time.sleep(0.01)\nvalue = 41\n'


def forget():
    for name in ('slow_module', 'next_module'):
        sys.modules.pop(name, None)


def import_slowly(number):
    import slow_module
    torment.check(slow_module.value == 41, 'half a module')


def import_next(number):
    import next_module
    torment.check(next_module.value == 42, 'another module')


def hold(number):
    imp.acquire_lock()
    time.sleep(0.2)
    imp.release_lock()


def work():
    forget()
    first = torment.variant == 'imp' and hold or import_slowly
    torment.crowd(4, lambda number: (first, import_next)[number > 0](number))
    torment.check(not imp.lock_held(), 'the lock is held')


for name, text in (('slow_module', SLOW), ('next_module', 'value = 42\n')):
    open(os.path.join(torment.FOLDER, name + '.py'), 'w').write(text)
sys.path.insert(0, torment.FOLDER)
torment.steady(work)

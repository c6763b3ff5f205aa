"""Asks itself in every way, under a memory checker. usage: memcheck.py COUNT

Runs with the agent and without: faults found only with the agent are the agent's. Ends with
status 7.
"""
import ctypes
import os
import sys
import threading
import time


def ask_by(library, result):
    try:
        function = library.sleeper_agent_state
    except AttributeError:
        return lambda: ''
    function.restype = result
    return function


let_go = ask_by(ctypes.CDLL(None), ctypes.c_char_p)
held = ask_by(ctypes.PyDLL(None), ctypes.c_char_p)
# A text is valid until the next call: where several threads ask at once, nobody reads it.
unread = ask_by(ctypes.CDLL(None), None)


def deep(left, gate):
    if left:
        deep(left - 1, gate)
    else:
        gate.acquire()
        gate.release()


def asks(count):
    told = 0
    for number in range(count):
        told += (number % 2 and held or let_go)().count('### Thread ') > 0
    return told


def main():
    count = int(sys.argv[1])
    gate = threading.Lock()
    gate.acquire()
    crowd = [threading.Thread(target=deep, args=(depth, gate)) for depth in (0, 3, 30)]
    for one in crowd:
        one.start()
    time.sleep(0.5)
    told = asks(count // 2)
    both = [threading.Thread(target=lambda: [unread() for _ in range(count // 4)]) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    child = os.fork()
    if child == 0:
        os._exit(asks(10) == 10 and 5)
    status = os.waitpid(child, 0)[1]
    gate.release()
    for one in crowd:
        one.join()
    sys.stdout.write('told %d, child %d\n' % (told, status >> 8 or status))
    sys.exit(7)


main()

"""Threads blocked at known places. usage: known_stack.py FILE

Writes its expected state to FILE while it waits, following the documented rule: for each
thread a heading and the text of traceback.format_stack, joined by two newlines.
"""
import Queue
import sys
import thread
import threading
import time
import traceback


def state(own_frame):
    frames = sys._current_frames()
    frames[thread.get_ident()] = own_frame
    return '\n\n'.join(
        ['### Thread %d:\n%s' % (ident, ''.join(traceback.format_stack(frame)))
         for ident, frame in sorted(frames.items())])


def publish(own_frame):
    out = open(sys.argv[1], 'wb')
    out.write(state(own_frame))
    out.close()
    sys.stdout.write('ready\n')
    sys.stdout.flush()


def wait_on_condition():
    condition = threading.Condition()
    condition.acquire()
    condition.wait()


def wait_on_lock(depth, lock):
    if depth:
        return wait_on_lock(depth - 1, lock)
    lock.acquire()


def wait_on_queue():
    return [Queue.Queue().get() for _ in range(1)]


def wait_in_code_without_source():
    code = compile('\n\ndef inner():\n    gate.acquire()\ninner()\n', '<made up>', 'exec')
    gate = threading.Lock()
    gate.acquire()
    exec(code, {'gate': gate})


def wait_where_the_line_stands_still(lock):
    # As a debugger that has stopped tracing: f_lineno stays at this line from here on.
    sys._getframe().f_trace = lambda *_: None
    lock.acquire()


def go(work, *arguments):
    one = threading.Thread(target=work, args=arguments)
    one.setDaemon(True)
    one.start()


def main():
    locked = threading.Lock()
    locked.acquire()
    go(wait_on_condition)
    go(wait_on_lock, 5, locked)
    go(wait_on_lock, 120, locked)
    go(wait_on_queue)
    go(wait_in_code_without_source)
    go(wait_where_the_line_stands_still, locked)
    # Wait until the other threads have stopped moving.
    seen = []
    while len(seen) < 3 or seen[-1] != seen[-3]:
        seen.append(state(sys._getframe()))
        time.sleep(0.1)
    publish(sys._getframe()); answer = sys.stdin.readline()
    sys.stdout.write('went on with %s' % answer)
    sys.exit(7)


main()

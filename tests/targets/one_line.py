"""Asks itself in every way on one line each. usage: one_line.py

Prints each comparison that fails, then "compared".
"""
import sys
import thread
import threading
import time
import traceback

import sleeper_agent


def check(what, one, other):
    if one != other:
        sys.stdout.write('%s differ:\n%s\n---\n%s\n' % (what, one, other))


def own_stack(own_frame):
    return '### Thread %d:\n%s' % (
        thread.get_ident(), ''.join(traceback.format_stack(own_frame)))


def main():
    native = sleeper_agent._sleeper_agent_activation
    check('native and Python', native.sleeper_agent_state(), sleeper_agent._get_state_info())
    check('Python and the rule', sleeper_agent._get_state_info(), own_stack(sys._getframe()))
    check('types', (type(native.sleeper_agent_state()), type(sleeper_agent._get_state_info())), (str, str))
    gate = threading.Lock()
    gate.acquire()
    other = threading.Thread(target=gate.acquire)
    other.start()
    time.sleep(0.3)
    check('with threads', native.sleeper_agent_state(), sleeper_agent._get_state_info())
    text = native.sleeper_agent_state()
    check('blocks', [line[:11] for line in text.split('\n')].count('### Thread '), 2)
    gate.release()
    other.join()
    # A joined thread may still be ending.
    while len(sys._current_frames()) > 1:
        time.sleep(0.01)


main()
sys.stdout.write('compared\n')
sys.stdout.write('%s\n' % (sleeper_agent._sleeper_agent_activation.sleeper_agent_state() == sleeper_agent._get_state_info()))

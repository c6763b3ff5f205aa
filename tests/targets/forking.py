"""Starts child processes. usage: forking.py fork|bare|thread|pool|daemon|spawn|command|exec

Prints "child PID" for each; every child is in a function called in_the_child. Ends with
status 7 once it has read a line.
"""
import os
import subprocess
import sys
import threading
import time


def say(text):
    os.write(1, text + '\n')


def in_the_child():
    say('given on %s' % [name for name in ('LD_PRELOAD', 'SLEEPER_AGENT_ONLY_PID') if name in os.environ])
    say('child %d' % os.getpid())
    time.sleep(120)


def fork():
    pid = os.fork()
    if pid == 0:
        try:
            in_the_child()
        finally:
            os._exit(0)
    return pid


def bare():
    # The bare system call runs no fork handlers.
    import ctypes
    if ctypes.CDLL(None).syscall(57) == 0:
        in_the_child()


def thread():
    done = threading.Event()

    def forker():
        fork()
        done.set()

    one = threading.Thread(target=forker)
    one.start()
    one.join()


def pool():
    import multiprocessing
    for _ in range(2):
        one = multiprocessing.Process(target=in_the_child)
        one.daemon = True
        one.start()


def daemon():
    # As daemons always do: two forks, a new session, every descriptor closed and the first
    # three opened anew; the agent must not depend on any descriptor.
    out = os.dup(1)
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir('/')
        os.umask(0)
        report = os.fdopen(out, 'w')
        for number in range(1024):
            if number != out:
                try:
                    os.close(number)
                except OSError:
                    pass
        null = os.open('/dev/null', os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        report.write('descriptors %s\n' % ' '.join(sorted(os.listdir('/proc/self/fd'))))
        report.write('child %d\n' % os.getpid())
        report.close()
        in_the_child()
    os.waitpid(middle, 0)
    os.close(out)


def sleeper():
    # The arguments of another Python as a child. Its own path may contain anything.
    code = 'import sys\nfile, sys.argv[1] = sys.argv[1], "nothing"\nexecfile(file)\nin_the_child()\n'
    return [sys.executable, '-c', code, os.path.abspath(__file__)]


def spawn():
    subprocess.Popen(sleeper())


def command():
    subprocess.Popen(['/bin/sh', '-c', '"$@"; :', 'sh'] + sleeper())


def nothing():
    pass


def exec_():
    os.execv(sys.executable, sleeper())


def main():
    how = sys.argv[1]
    if how == 'nothing':
        return
    globals()[how.replace('exec', 'exec_')]()
    say('ready')
    sys.stdin.readline()
    say('the parent went on')
    os._exit(7)


main()

"""Three threads that never wait. usage: busy_threads.py

Ends with status 7 once it has read a line.
"""
import sys
import threading

running = True


def count_up():
    count = 0
    while running:
        count += 1


crowd = [threading.Thread(target=count_up) for _ in range(3)]
for one in crowd:
    one.start()
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
running = False
for one in crowd:
    one.join()
sys.stdout.write('all stopped\n')
sys.exit(7)

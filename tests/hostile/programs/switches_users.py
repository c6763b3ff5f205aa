"""Becomes another user and root again, again and again, beside other threads, as servers do that act for their users.
usage: switches_users.py PAUSE

Prints "ready". Ends with status 7 once a line has come, or with status 1 if it is not who it has become. PAUSE is the
time between two rounds, in seconds.
"""
import os
import sys
import threading
import time

over = []


def rest():
    while True:
        time.sleep(0.001)


def listen():
    sys.stdin.readline()
    over.append(True)


for life in (rest, rest, listen):
    thread = threading.Thread(target=life)
    thread.setDaemon(True)
    thread.start()
sys.stdout.write('ready\n')
sys.stdout.flush()
count = 0
while not over:
    count += 1
    os.setegid(5)
    os.setgroups([count % 7])
    os.seteuid(1000)
    if (os.geteuid(), os.getegid()) != (1000, 5):
        os._exit(1)
    os.seteuid(0)
    os.setegid(0)
    time.sleep(float(sys.argv[1]))
os._exit(7)

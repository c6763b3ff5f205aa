"""A program that hangs.
usage: hangs.py HOW

Says "ready" and hangs in the function HOW.
"""
from __future__ import with_statement
import sys
import thread
import threading
import time


def nested_with():
    lock = threading.Lock()
    with lock:
        for _ in 1, 2:
            with threading.Lock():
                try:
                    with lock:
                        pass
                finally:
                    pass


sys.stdout.write('ready\n')
sys.stdout.flush()
globals()[sys.argv[1]]()

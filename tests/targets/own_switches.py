"""A program that has replaced the garbage collector's switches, gc.enable and gc.disable.
usage: own_switches.py [off]

The collector runs, or is `off`. Ends with status 7 at the end of its input, after a line that says
which of its own code has run, and whether the collector runs.
"""
import gc
import sys

ran = []
isenabled = gc.isenabled
if 'off' in sys.argv:
    gc.disable()
gc.enable = lambda: ran.append('enable')
gc.disable = lambda: ran.append('disable')
sys.stdout.write('ready\n')
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write('ran %s, runs %s\n' % (ran, isenabled()))
sys.stdout.flush()
sys.exit(7)

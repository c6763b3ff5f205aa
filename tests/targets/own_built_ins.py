"""Runs another target with replacements of all built-in functions, which do the same.
usage: own_built_ins.py TARGET [ARGUMENT ...]

They write a line on standard error when the agent calls them.
"""
import __builtin__
import os
import sys


def own(name, function):
    def does(*arguments, **named):
        if '_SLEEPER_AGENT' in sys._getframe(1).f_globals:
            os.write(2, 'the agent calls %s\n' % name)
        return function(*arguments, **named)
    return does


# These depend on their caller.
LEFT = 'dir', 'eval', 'execfile', 'globals', 'locals', 'vars'

del sys.argv[0]
target = sys.argv[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[0])
kind = type(len)
for name, function in vars(__builtin__).items():
    if type(function) is kind and not name.startswith('__') and name not in LEFT:
        setattr(__builtin__, name, own(name, function))
execfile(target)

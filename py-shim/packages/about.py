"""The product's version, date and description, the same in each package."""

import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

NAME = 'sleeper-agent'
AUTHOR = 'the Sleeper Agent authors'
LICENSE = 'BSD-3-Clause'
SUMMARY = 'Shows what every thread of a running CPython 2.6 or 2.7 program is doing'
DESCRIPTION = """\
Sleeper Agent shows what every thread of a running CPython 2.6 or 2.7 program is
doing, in milliseconds, without a change to the program and without stopping its
threads. It is a library that is preloaded into the program, sleeps there, and
answers when a command asks.

  sa-run python app.py           start a program with the agent
  sleeper_agent_activate PID     what each of its threads is doing
  sa-list                        the programs that carry an agent
"""


def version():
    """The version of all crates."""
    text = (ROOT / 'Cargo.toml').read_text()
    return re.search(r'^\[workspace\.package\]\nversion = "([^"]+)"$', text, re.M).group(1)


def date():
    """The date of every file in the packages, in seconds since 1970: the commit's."""
    told = os.environ.get('SOURCE_DATE_EPOCH')
    if not told:
        command = ['git', '-C', str(ROOT), 'log', '-1', '--format=%ct']
        try:
            told = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            raise SystemExit(
                'packages: %s is no clone with a commit, whose date the packages get: set'
                ' SOURCE_DATE_EPOCH to a date, in seconds since 1970' % ROOT)
    try:
        # An archive of the kind zip knows no earlier date.
        return max(int(told), 315532800)
    except ValueError:
        raise SystemExit('packages: SOURCE_DATE_EPOCH is no number of seconds: %s' % told)


def fields_of_date():
    """The date as (year, month, day, hour, minute, second), in UTC."""
    return time.gmtime(date())[:6]

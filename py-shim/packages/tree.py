"""The files that `make install` has put into a folder, in a fixed order, with fixed modes."""

import os
from collections import namedtuple

LIBRARY = 'lib/libsleeper.so'
SHIM = 'share/sleeper-agent/sleeper_agent.py'
# A link to the library under the name by which Python 2 imports it.
MODULE = 'share/sleeper-agent/_sleeper_agent_activation.so'

# place: its path below the folder. source: the file. link: where a symbolic link leads to, or None.
Entry = namedtuple('Entry', 'place source mode link')


def read(folder):
    """Return an Entry for each file and link below the folder, sorted by place."""
    entries = []
    for parent, folders, files in os.walk(folder):
        for name in files:
            source = os.path.join(parent, name)
            link = os.readlink(source) if os.path.islink(source) else None
            mode = 0o755 if link is None and os.access(source, os.X_OK) else 0o644
            place = os.path.relpath(source, folder)
            entries.append(Entry(place, source, mode, link))
    entries.sort()
    places = [one.place for one in entries]
    for needed in (LIBRARY, SHIM, MODULE):
        if needed not in places:
            raise SystemExit('packages: %s has no %s: run `make packages`' % (folder, needed))
    return entries

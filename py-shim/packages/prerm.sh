#!/bin/sh
# Before the deb is removed: what Python 2 has made of the module, which no package knows of.
rm -f "$DPKG_ROOT"/usr/share/sleeper-agent/sleeper_agent.py[co]

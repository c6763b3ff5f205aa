#!/bin/sh
# Unpacks Debian's own Python 2.7 (a static executable and a debug build) into
# .tools/debian-python2.7/, beside whatever else is on the machine: nothing is installed.
#
# Debian carried Python 2.7 until its release "bullseye".
#
# If that fails, .tools/debian-python2.7.missing says why, and the tests show it.
set -eu

packages="python2.7 python2.7-minimal libpython2.7-stdlib libpython2.7-minimal
    python2.7-dbg libpython2.7-dbg libpython2.7 libffi7 libssl1.1"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/debian-python2.7
missing=$tools/debian-python2.7.missing
# shellcheck source=tests/interpreters/apt.sh
. "$root/tests/interpreters/apt.sh"

runs() {
    "$folder/usr/bin/python2.7" -c '' && "$folder/usr/bin/python2.7-dbg" -c ''
}

# A missing Python is no failure: the tests run without it and say so.
give_up() {
    mkdir -p "$tools"
    echo "Debian's Python 2.7 could not be had: $1" | tee "$missing" >&2
    exit 0
}

if [ -e "$folder/complete" ] && runs 2>/dev/null; then
    rm -f "$missing"
    exit 0
fi

echo "fetching Debian's Python 2.7 into .tools/ (once)"
rm -rf "$folder"
mkdir -p "$folder"
apt_for "$tools/apt" bullseye
# shellcheck disable=SC2086 # They are words.
apt_download $packages
apt_unpack "$folder"
runs 2>>"$apt/log" || give_up "it does not run here: $(tail -n 1 "$apt/log")"
touch "$folder/complete"
rm -rf "$apt" "$missing"

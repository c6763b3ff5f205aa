#!/bin/sh
# Installs greenlet, gevent, eventlet, Tornado and Twisted for Python 2.7 into
# .tools/python2.7-packages/, in sets for PYTHONPATH, with the pip of any Python 2.7 here that has it.
# They fit every wide-character build of 2.7 that is not a debug build.
#
# If that fails, .tools/python2.7-packages.missing says why, and the tests show it.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/python2.7-packages
missing=$tools/python2.7-packages.missing
# The name of each set, and what is in it.
sets='gevent greenlet==0.4.17 gevent==20.9.0
eventlet greenlet==0.4.17 eventlet==0.33.3
greenlet-1 greenlet==1.1.3
greenlet-2 greenlet==2.0.2
tornado-4 tornado==4.5.3
tornado-5 tornado==5.1.1
twisted Twisted==20.3.0
twisted-15 Twisted==15.4.0'

give_up() {
    rm -rf "$folder"
    echo "greenlet, gevent, eventlet, Tornado and Twisted for Python 2.7 could not be had: $1" |
        tee "$missing" >&2
    exit 0
}

# The folder may be older than these sets.
if [ "$(cat "$folder/complete" 2>/dev/null)" = "$sets" ]; then
    rm -f "$missing"
    exit 0
fi

mkdir -p "$tools"
python=$("$(dirname -- "$0")/with-pip.sh") || give_up "no Python 2.7 here has pip"

echo "installing greenlet, gevent, eventlet, Tornado and Twisted for Python 2.7 into .tools/ (once)"
rm -rf "$folder"
mkdir "$folder"
echo "$sets" | while read -r set packages; do
    # shellcheck disable=SC2086 # They are words.
    "$python" -m pip install -q --disable-pip-version-check --target "$folder/$set" $packages \
        >"$tools/python2.7-packages.log" 2>&1 </dev/null || break
    # pip relies on a .pth file for this, which does nothing on PYTHONPATH.
    [ ! -d "$folder/$set/zope" ] || touch "$folder/$set/zope/__init__.py"
    rm "$tools/python2.7-packages.log"
done
if [ -e "$tools/python2.7-packages.log" ]; then
    give_up "$(tail -n 1 "$tools/python2.7-packages.log")"
fi
rm -f "$missing"
echo "$sets" >"$folder/complete"

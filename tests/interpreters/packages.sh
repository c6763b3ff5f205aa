#!/bin/sh
# Installs greenlet, gevent and eventlet for Python 2.7 into .tools/python2.7-packages/, in sets that
# go on PYTHONPATH, with the pip of whichever Python 2.7 here has one. They fit every build of 2.7
# with wide characters that is no debug build.
#
# Where that can't be done, .tools/python2.7-packages.missing tells why, and the tests show it.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/python2.7-packages
missing=$tools/python2.7-packages.missing

give_up() {
    rm -rf "$folder"
    echo "greenlet, gevent and eventlet for Python 2.7 could not be had: $1" |
        tee "$missing" >&2
    exit 0
}

if [ -e "$folder/complete" ]; then
    rm -f "$missing"
    exit 0
fi

python=
for one in "$(command -v python2.7 || true)" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    if [ -z "$python" ] && [ -x "$one" ] && "$one" -m pip --version >/dev/null 2>&1; then
        python=$one
    fi
done
mkdir -p "$tools"
[ -n "$python" ] || give_up "no Python 2.7 here has pip"

echo "installing greenlet, gevent and eventlet for Python 2.7 into .tools/ (once)"
rm -rf "$folder"
mkdir "$folder"
install() {
    set=$1
    shift
    "$python" -m pip install -q --disable-pip-version-check --target "$folder/$set" "$@" \
        >"$tools/python2.7-packages.log" 2>&1 ||
        give_up "$(tail -n 1 "$tools/python2.7-packages.log")"
}
install gevent greenlet==0.4.17 gevent==20.9.0
install eventlet greenlet==0.4.17 eventlet==0.33.3
install greenlet-1 greenlet==1.1.3
install greenlet-2 greenlet==2.0.2
rm -f "$tools/python2.7-packages.log" "$missing"
touch "$folder/complete"

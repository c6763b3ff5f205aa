#!/bin/bash
# Shows what the product does: starts a threaded program under sa-run, asks what it is doing,
# and ends it. Usage: tests/demo.sh FOLDER, where FOLDER has the built commands.
set -eu

built=$(cd "${1:?the folder with sa-run and sleeper_agent_activate}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
debian=$here/../.tools/debian-python2.7/usr/bin/python2.7

works() {
    "$1" -c 'import sys, threading; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null
}

python=
find_python() {
    local candidate
    for candidate in python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7 "$debian"; do
        if works "$candidate"; then
            python=$candidate
            return
        fi
    done
    return 1
}

find_python || { "$here/interpreters/debian.sh" && find_python; } || {
    echo "There is no Python 2.7 on this machine, and Debian's own could not be fetched." >&2
    echo "Put a python2.7 on the PATH (or install one with pyenv) and run this again." >&2
    exit 1
}

program=
folder=$(mktemp -d)
said=$folder/said
# The loader preloads nothing from a path with a space or a colon, and the work tree may lie anywhere.
ln -s "$built/libsleeper.so" "$folder/"
finish() {
    # Only the program started here.
    if [ -n "$program" ]; then
        kill -KILL "$program" 2>/dev/null || true
        wait "$program" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "A small threaded program under $("$python" -V 2>&1), with no line of it changed:"
echo
echo "\$ sa-run python2.7 tests/targets/shop.py &"
SLEEPER_AGENT_LIB=$folder/libsleeper.so \
    "$built/sa-run" "$python" "$here/targets/shop.py" >"$said" 2>&1 &
program=$!
for ((try = 0; try < 200; try++)); do
    if grep -q '^open' "$said"; then
        break
    elif ! kill -0 "$program" 2>/dev/null; then
        cat "$said" >&2
        echo "the program ended before it could be asked; see above." >&2
        exit 1
    fi
    sleep 0.05
done

echo "\$ sleeper_agent_activate $program"
echo
"$built/sleeper_agent_activate" "$program"
echo
if ! kill -0 "$program" 2>/dev/null; then
    echo "the program did not survive being asked: that is a bug." >&2
    exit 1
fi
kill -TERM "$program"
status=0
wait "$program" || status=$?
finished=$program
program=
if [ "$status" != 0 ]; then
    cat "$said" >&2
    echo "the program ended with status $status instead of 0: that is a bug." >&2
    exit 1
fi
echo "The program $finished was asked, went on, and has now ended in its own way:"
tail -n 1 "$said"

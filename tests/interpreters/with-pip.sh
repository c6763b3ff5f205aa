#!/bin/sh
# Prints the path of a Python 2.7 that has pip; fails if there is none.
for one in "$(command -v python2.7 || true)" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    if [ -x "$one" ] && "$one" -m pip --version >/dev/null 2>&1; then
        echo "$one"
        exit 0
    fi
done
exit 1

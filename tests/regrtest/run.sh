#!/bin/sh
# Runs CPython's own tests under the agent: run.sh FOLDER [OPTION…] [TEST…]
# FOLDER has the built library and commands; options: run.py --help.
# The interpreter is PYTHON, or the first Python 2.7 that has its tests.
set -eu

built=${1:?the folder with libsleeper.so and sleeper_agent_activate}
shift
here=$(cd "$(dirname "$0")" && pwd)
unset LD_PRELOAD PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

# Prints the path of the interpreter itself: a name on the PATH may be a wrapper.
ask='
import os, sys
from test import regrtest
if len(regrtest.findtests()) < 100 or sys.version_info[:2] not in ((2, 6), (2, 7)):
    sys.exit(1)
sys.stdout.write(sys.executable)'
with_tests() {
    python=$("$1" -c "$ask" 2>/dev/null) && [ -n "$python" ]
}

find_python() {
    for candidate in python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        with_tests "$candidate" && return
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    with_tests "$PYTHON" || {
        echo "$PYTHON is no Python 2.6 or 2.7 that comes with its tests (test.regrtest, test.test_*)." >&2
        exit 1
    }
elif ! find_python; then
    echo "No Python 2.7 here comes with its tests (test.regrtest, test.test_*): install one from" >&2
    echo "source (pyenv does), or say which with PYTHON=/path/of/python2.7." >&2
    exit 1
fi

exec "$python" -B "$here/run.py" --library "$built/libsleeper.so" \
    --activator "$built/sleeper_agent_activate" "$@"

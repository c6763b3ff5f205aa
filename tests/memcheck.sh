#!/bin/bash
# Runs a program that asks itself under valgrind, without and with the library, and fails if
# valgrind reports anything with the library in its stack. Then runs it with a library built for
# AddressSanitizer. usage: memcheck.sh LIBRARY FOLDER [PYTHON]
#
# The second library is built in FOLDER.
set -u
cd "$(dirname "$0")/.." || exit 1
library=$1 built=$2
asked=200

if ! command -v valgrind >/dev/null; then
    echo 'valgrind is missing: install it (package valgrind)' >&2
    exit 1
fi
python=${3:-}
for one in python2.7 "$HOME"/.pyenv/versions/2.7*/bin/python2.7; do
    if [ -z "$python" ] && "$one" -c '' 2>/dev/null; then python=$one; fi
done
if [ -z "$python" ]; then
    echo 'there is no python2.7: name one, as in make memcheck PYTHON=/usr/bin/python2.7' >&2
    exit 1
fi
# The name may be a wrapper, such as pyenv's.
python=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The path of a copy of a library that the loader can preload: it cannot quote a space or a colon, and
# the work tree may lie anywhere.
loadable() {
    mkdir -p "$folder/$2" && cp "$1" "$folder/$2/" &&
        { [ ! -e "$1.debug" ] || cp "$1.debug" "$folder/$2/"; } && echo "$folder/$2/libsleeper.so"
}

# Leaves its logs, one per process, in $folder/$1. The deadline is long because valgrind runs one
# thread at a time, slowly.
run() {
    mkdir -p "$folder/$1"
    SECONDS=0
    LD_PRELOAD=$2 SLEEPER_AGENT_DEADLINE=60 valgrind --tool=memcheck --trace-children=no \
        --leak-check=full --show-leak-kinds=definite --num-callers=50 --fullpath-after= \
        --suppressions=tests/memcheck.supp --log-file="$folder/$1/%p" \
        "$python" -B tests/targets/memcheck.py $asked >"$folder/$1.out" 2>&1
    status=$?
    echo "$1: ended with $status, $(tail -n 1 "$folder/$1.out"); $SECONDS s"
}

# The reports in a run's logs, each a paragraph, with the library in their stack. Matches its source
# files: valgrind names an object only where it knows no line.
ours() {
    cat "$folder/$1"/* | sed 's/^==[0-9]*== \{0,1\}//' |
        awk 'BEGIN { RS = ""; ORS = "\n\n" } /preload\/(protocol\/)?src\/|\/library\/(std|core|alloc)\/|\/libsleeper\.so/ && / (at|by) 0x/'
}

# Counts by the first function in each stack: reports from Python code that the library calls are
# Python's own.
kinds() {
    cat "$folder/$1"/* | sed 's/^==[0-9]*== \{0,1\}//' | awk 'BEGIN { RS = ""; FS = "\n" }
        { for (line = 2; line <= NF; line++) if ($line ~ /^   at 0x/) {
              sub(/.*0x[0-9A-F]*: /, "", $line); sub(/ \(.*/, "", $line)
              print $line; next } }' | sort | uniq -c | sort -rn
}

failed=0
run without ''
[ $status = 7 ] || failed=1
run with "$(loadable "$library" product)"
[ $status = 7 ] || failed=1
grep -q "^told $((asked / 2)), child 5$" "$folder/with.out" || failed=1
[ $failed = 0 ] || cat "$folder"/*.out
echo "reported without the library, by function:"; kinds without | sed 's/^/  /'
echo "reported with it:"; kinds with | sed 's/^/  /'
found=$(ours with)
if [ -n "$found" ]; then
    echo "$found"
    echo "valgrind reports the above with the library in the stack" >&2
    failed=1
fi
[ $failed = 0 ] && echo 'nothing is reported that has the library in its stack'

# The checked library needs the sanitizer's library, which has to come first. Leaks are left to
# valgrind: Python 2 leaves thousands at its end.
host=$(rustc +nightly -vV 2>/dev/null | sed -n 's/^host: //p')
sanitizer=$(realpath -e "$(cc -print-file-name=libasan.so 2>/dev/null)" 2>/dev/null)
if [ -z "$host" ] || [ -z "$sanitizer" ]; then
    echo 'AddressSanitizer: not run; it needs a nightly Rust compiler, and gcc with libasan'
    exit $failed
fi
RUSTFLAGS=-Zsanitizer=address cargo +nightly build --quiet -p preload \
    --target "$host" --target-dir "$built" || exit 1
ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$sanitizer $(loadable "$built/$host/debug/libsleeper.so" asan)" \
    "$python" -B tests/targets/memcheck.py $asked >"$folder/asan.out" 2>&1
status=$?
if [ $status = 7 ] && [ "$(cat "$folder/asan.out")" = "told $((asked / 2)), child 5" ]; then
    echo 'AddressSanitizer: nothing is reported'
else
    cat "$folder/asan.out"
    echo "AddressSanitizer: ended with $status" >&2
    failed=1
fi
exit $failed

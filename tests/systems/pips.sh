#!/bin/sh
# Fetches virtualenv for Python 2.7, and old pips, into .tools/pips/, with the pip of any Python 2.7 here that
# has one.
#
# If that fails, .tools/pips.missing says why, and the tests show it.
set -eu

# The last virtualenv that runs on 2.7. It brings the last pip for 2.7 (20.3.4) with it.
virtualenv=virtualenv==20.15.1
pips='pip==8.1.2 pip==9.0.3'

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/pips
missing=$tools/pips.missing

give_up() {
    rm -rf "$folder"
    echo "virtualenv and old pips for Python 2.7 could not be had: $1" | tee "$missing" >&2
    exit 0
}

if [ "$(cat "$folder/complete" 2>/dev/null)" = "$virtualenv $pips" ]; then
    rm -f "$missing"
    exit 0
fi

mkdir -p "$tools"
python=$("$(dirname -- "$0")/../interpreters/with-pip.sh") || give_up "no Python 2.7 here has pip"

echo "fetching virtualenv and old pips for Python 2.7 into .tools/ (once)"
rm -rf "$folder"
mkdir "$folder"
log=$tools/pips.log
pip() {
    "$python" -m pip "$@" >>"$log" 2>&1 </dev/null || give_up "$(tail -n 1 "$log")"
}
pip install -q --disable-pip-version-check --target "$folder/virtualenv" "$virtualenv"
for one in $pips; do
    pip download -q --disable-pip-version-check --no-deps --dest "$folder" "$one"
done
echo "$virtualenv $pips" >"$folder/complete"
rm -f "$missing" "$log"

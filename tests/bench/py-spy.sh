#!/bin/sh
# Installs py-spy, for comparison, into an environment of its own: .tools/py-spy/.
# If that fails, the benchmark runs without it and says so.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=$root/.tools/py-spy

if "$folder/bin/py-spy" --version >/dev/null 2>&1; then
    exit 0
fi
echo "installing py-spy into .tools/ (once)"
mkdir -p "$root/.tools"
rm -rf "$folder"
if ! { python3 -m venv "$folder" && "$folder/bin/pip" -q install py-spy; } \
    >"$root/.tools/py-spy.log" 2>&1; then
    rm -rf "$folder"
    echo "py-spy could not be installed: $(tail -n 1 "$root/.tools/py-spy.log")" >&2
fi

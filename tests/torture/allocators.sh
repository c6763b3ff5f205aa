#!/bin/sh
# Unpacks jemalloc and tcmalloc from this Debian release into .tools/allocators/, to be preloaded by some of the programs
# that the torture suite loads into: nothing is installed.
#
# If that fails, those programs keep the C library's malloc, and a line says so.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/allocators
# shellcheck source=tests/interpreters/apt.sh
. "$root/tests/interpreters/apt.sh"

give_up() {
    rm -rf "$folder"
    echo "jemalloc and tcmalloc could not be had, and are left out: $1" >&2
    exit 0
}

[ ! -e "$folder/libjemalloc.so.2" ] || [ ! -e "$folder/libtcmalloc_minimal.so.4" ] || exit 0

echo "fetching jemalloc and tcmalloc into .tools/ (once)"
rm -rf "$folder"
mkdir -p "$folder"
# shellcheck source=/dev/null
. /etc/os-release
apt_for "$tools/apt" "${VERSION_CODENAME:-}"
apt_download libjemalloc2 libtcmalloc-minimal4
apt_unpack "$folder/packages"
for library in libjemalloc.so.2 libtcmalloc_minimal.so.4; do
    found=$(find "$folder/packages" -name "$library" | head -n 1)
    [ -n "$found" ] || give_up "the packages have no $library"
    cp -L "$found" "$folder/"
done
rm -rf "$folder/packages" "$tools/apt"

#!/bin/sh
# Unpacks small Debian systems into .tools/roots/: tests/systems/roots.sh RELEASE…
# Each has Debian's gdb and Python 2.7, the C library of its release, and all that these need. Nothing is
# installed, no script of a package runs, and apt's own lists and settings stay as they are.
#
# The last release with a Python 2.7 is "bullseye": later ones get that Python, and their own C library.
#
# If that fails, .tools/roots/RELEASE.missing says why, and the tests show it.
set -eu

# What of bullseye a later release gets.
python="python2.7 python2.7-minimal libpython2.7-stdlib libpython2.7-minimal libffi7 libssl1.1"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
roots=$root/.tools/roots
# shellcheck source=tests/interpreters/apt.sh
. "$root/tests/interpreters/apt.sh"

unpack() {
    folder=$roots/$1
    missing=$roots/$1.missing
    [ ! -e "$folder/complete" ] || return 0
    echo "fetching a small Debian $1 into .tools/roots/ (once)"
    rm -rf "$folder"
    # The releases differ in where their packages put libraries: the same folders, by these links.
    mkdir -p "$folder/usr/bin" "$folder/usr/sbin" "$folder/usr/lib" "$folder/usr/lib64" \
        "$folder/dev" "$folder/proc" "$folder/tmp" "$folder/etc" "$folder/var/lib/dpkg"
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$folder/$name"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$folder/etc/passwd"
    echo 'root:x:0:' >"$folder/etc/group"
    if [ "$1" = bullseye ]; then
        apt_for "$roots/apt" bullseye
        apt_download_all gdb libc6 python2.7
    else
        apt_for "$roots/apt" bullseye
        # shellcheck disable=SC2086 # They are words.
        apt_download $python
        apt_unpack "$folder"
        apt_for "$roots/apt" "$1"
        apt_download_all gdb libc6 libgcc-s1 zlib1g
    fi
    apt_unpack "$folder"
    rm -rf "$roots/apt" "$missing"
    touch "$folder/complete"
}

mkdir -p "$roots"
for release; do
    # In a shell of its own: one release may be missing.
    (
        give_up() {
            rm -rf "$folder" "$roots/apt"
            echo "Debian $release could not be had: $1" | tee "$missing" >&2
            exit 0
        }
        unpack "$release"
    )
done

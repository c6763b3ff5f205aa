#!/bin/sh
# Makes sure that tools are installed: tests/tools.sh TOOL…
# Missing tools are installed with apt-get where possible, and otherwise explained.
set -eu

package_of() {
    case $1 in
    cc) echo gcc libc6-dev ;;
    objcopy) echo binutils ;;
    flock) echo util-linux ;;
    *) echo "$1" ;;
    esac
}

missing=
for tool; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "$missing" ] || exit 0

case " $missing " in
*" cargo "*)
    echo "cargo is missing: install Rust 1.88 or newer (rustup.rs has it; many systems'" >&2
    echo "own packages are older), and see to it that cargo is on the PATH." >&2
    exit 1
    ;;
esac

packages=
for tool in $missing; do
    packages="$packages $(package_of "$tool")"
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "missing here:$missing. Install them with your system's package manager" >&2
    echo "(as root on Debian and Ubuntu: apt-get install$packages), then run this again." >&2
    exit 1
fi
echo "installing$packages"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install$packages: see above." >&2
    exit 1
fi

#!/bin/bash
# Fuzzes every parser, each for some seconds. usage: fuzz.sh FOLDER SECONDS AT_ONCE [NAME…]
#
# AT_ONCE of them run side by side. The build and the inputs that reached new code stay in FOLDER for the next
# time.
set -u
cd "$(dirname "$0")" || exit 1
folder=$1 seconds=$2 at_once=$3
shift 3

missing() {
    echo "fuzzing cannot be done here: $1" >&2
    exit 1
}
cargo +nightly --version >/dev/null 2>&1 ||
    missing 'the nightly compiler is missing: rustup toolchain install nightly'
cargo fuzz --version >/dev/null 2>&1 ||
    missing 'cargo-fuzz is missing: cargo install cargo-fuzz'

names=("$@")
if [ ${#names[@]} = 0 ]; then
    for file in fuzz_targets/*.rs; do names+=("$(basename "$file" .rs)"); done
fi
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
mkdir -p "$folder/found"

feed() {
    local name=$1 runs reached
    mkdir -p "$folder/inputs/$name"
    # An answer may claim any size: no more than the budget is allocated.
    if "$folder/$host/release/$name" -max_total_time="$seconds" -max_len=4096 -timeout=$((20 * at_once)) \
        -malloc_limit_mb=128 -rss_limit_mb=2000 -print_final_stats=1 \
        -artifact_prefix="$folder/found/$name-" "$folder/inputs/$name" >"$folder/$name.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log")
        reached=$(grep -o 'cov: [0-9]*' "$folder/$name.log" | tail -n 1)
        echo "$name: $runs inputs, ${reached#cov: } edges reached, nothing found"
    else
        tail -n 60 "$folder/$name.log"
        echo "$name: found something; the input is in $folder/found" >&2
        return 1
    fi
}

failed=0
built=()
for name in "${names[@]}"; do
    if cargo +nightly fuzz build --fuzz-dir . --target-dir "$folder" "$name" 2>"$folder.log"; then
        built+=("$name")
    else
        cat "$folder.log"
        echo "$name: cannot be built" >&2
        failed=1
    fi
done
export -f feed
export folder seconds at_once host
for name in "${built[@]}"; do echo "$name"; done |
    xargs -r -n 1 -P "$at_once" bash -c 'feed "$1"' "$0" || failed=1
exit $failed

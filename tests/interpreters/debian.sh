#!/bin/sh
# Unpacks Debian's own Python 2.7 (a static executable and a debug build) into
# .tools/debian-python2.7/, beside whatever else is on the machine: nothing is installed, and
# apt's own lists and settings stay as they are.
#
# Debian carried Python 2.7 until its release "bullseye". The packages are asked for with the
# sources this machine already has, with nothing but the release changed.
#
# If that fails, .tools/debian-python2.7.missing says why, and the tests show it.
set -eu

release=bullseye
packages="python2.7 python2.7-minimal libpython2.7-stdlib libpython2.7-minimal
    python2.7-dbg libpython2.7-dbg libpython2.7 libffi7 libssl1.1"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=$root/.tools
folder=$tools/debian-python2.7
missing=$tools/debian-python2.7.missing
apt=$tools/apt

runs() {
    "$folder/usr/bin/python2.7" -c '' && "$folder/usr/bin/python2.7-dbg" -c ''
}

# A missing Python is no failure: the tests run without it and say so.
give_up() {
    mkdir -p "$tools"
    echo "Debian's Python 2.7 could not be had: $1" | tee "$missing" >&2
    exit 0
}

if [ -e "$folder/complete" ] && runs 2>/dev/null; then
    rm -f "$missing"
    exit 0
fi

[ -r /etc/os-release ] || give_up "no /etc/os-release tells what system this is"
# shellcheck source=/dev/null
. /etc/os-release
[ "${ID:-}" = debian ] || give_up "this is ${ID:-an unknown system}, not Debian"
codename=${VERSION_CODENAME:-}
[ -n "$codename" ] || give_up "/etc/os-release has no VERSION_CODENAME"
for tool in apt-get dpkg dpkg-deb awk; do
    command -v "$tool" >/dev/null || give_up "no $tool here"
done

echo "fetching Debian's Python 2.7 into .tools/ (once)"
rm -rf "$folder" "$apt"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/packages" "$folder"

# The name of a suite of this release in the release that has Python 2.7. Only the archive
# itself and its security updates; everything else (third parties) is left out.
new_suite='
function new_suite(suite) {
    if (suite ~ /^(stable|testing|unstable|sid)$/) suite = codename
    if (suite == codename) return release
    if (suite == codename "-security") return release "-security"
    return ""
}'

# One-line sources: deb [options] URI SUITE COMPONENT…
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    awk -v codename="$codename" -v release="$release" "$new_suite"'
    $1 == "deb" {
        at = 2
        if ($2 ~ /^\[/) { while ($at !~ /\]$/ && at < NF) at++; at++ }
        suite = new_suite($(at + 1))
        main = 0
        for (i = at + 2; i <= NF; i++) if ($i == "main") main = 1
        if (suite == "" || !main) next
        line = "deb"
        for (i = 2; i <= at; i++) line = line " " $i
        print line, suite, "main"
    }' >"$apt/sources.list"

# deb822 sources: stanzas of "Field: value", continued on lines that begin with a blank.
cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk -v codename="$codename" -v release="$release" "$new_suite"'
    function finish(    n, i, words, suites, suite) {
        n = split(value["suites"], words, /[ \t]+/)
        suites = ""
        for (i = 1; i <= n; i++) {
            suite = new_suite(words[i])
            if (suite != "") suites = suites " " suite
        }
        if (suites != "" && (" " value["types"] " ") ~ / deb / &&
            (" " value["components"] " ") ~ / main / && tolower(value["enabled"]) != "no") {
            print "Types: deb"
            print "URIs:" value["uris"]
            print "Suites:" suites
            print "Components: main"
            if (value["signed-by"] != "") print "Signed-By:" value["signed-by"]
            print ""
        }
        split("", value)
        field = ""
    }
    /^#/ { next }
    /^[ \t]*$/ { finish(); next }
    # A key given in place continues with line breaks that matter; lists do not.
    /^[ \t]/ { value[field] = value[field] (field == "signed-by" ? "\n" : " ") $0; next }
    {
        field = tolower(substr($0, 1, index($0, ":") - 1))
        value[field] = " " substr($0, index($0, ":") + 1)
    }
    END { finish() }' >"$apt/sources.sources"

for list in sources.list sources.sources; do
    mkdir -p "$apt/parts"
    [ ! -s "$apt/$list" ] || cp "$apt/$list" "$apt/parts/"
done
[ -n "$(ls "$apt/parts")" ] || give_up "no source of Debian's archive for $codename in /etc/apt"

private() {
    apt-get -qq \
        -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$apt/parts" \
        -o Dir::State::lists="$apt/lists" \
        -o Dir::Cache="$apt/cache" \
        -o Acquire::Languages=none \
        -o Acquire::http::Timeout=30 \
        -o Acquire::Retries=2 \
        -o APT::Sandbox::User="$(id -un)" \
        "$@"
}

# A missing suite must not matter as long as the packages are found.
private update >"$apt/log" 2>&1 || true
# shellcheck disable=SC2086
(cd "$apt/packages" && private download $packages) >>"$apt/log" 2>&1 ||
    give_up "apt could not fetch it: $(grep -m1 '^E:' "$apt/log" || tail -n 1 "$apt/log")"

for package in "$apt"/packages/*.deb; do
    dpkg -x "$package" "$folder"
done
runs 2>>"$apt/log" || give_up "it does not run here: $(tail -n 1 "$apt/log")"
touch "$folder/complete"
rm -rf "$apt" "$missing"

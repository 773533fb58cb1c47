#!/bin/sh
# Ceph's S3 gateway on loopback, with all that it stands on (a monitor, a store in memory), and all of
# its state in one folder:
#
#   tests/servers/ceph-rgw.sh start DIR PORT    S3 and STS at http://127.0.0.1:PORT; keys in DIR/env
#   tests/servers/ceph-rgw.sh stop DIR
#
# PORT+1 and PORT+10 ... PORT+29 are taken too. Each start begins anew: nothing outlives a stop.
#
# DIR/env is like seaweedfs.sh's: an operator who may do everything, and the credentials API, which
# may only assume the role `uploader`. The role may do everything, so that what is forbidden to a
# session is forbidden by its session policy. An object is its writer's, and not even the bucket's
# owner may read it: for that there is the role `other`, which trusts nobody but the operator.
set -eu
umask 077
PATH=/usr/bin:/usr/sbin:/bin:/sbin # Ceph's tools are written for Debian's own Python
unset CEPH_CONF CEPH_ARGS
here=$(cd "$(dirname "$0")" && pwd)
. "$here/server.sh"

admin() { radosgw-admin -c "$dir/ceph.conf" -n client.rgw "$@" >>"$dir/log/admin" 2>&1 || die "radosgw-admin $1 $2; see $dir/log/admin"; }

launch() { # NAME COMMAND...
    name=$1
    shift
    setsid "$@" >"$dir/log/$name" 2>&1 </dev/null &
    echo $! >"$dir/pid/$name"
}

write_config() { # there is one copy of everything, nobody else on the network, and no hurry to be safe
    cat >"$dir/ceph.conf" <<EOF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$((port + 1))/0]
mon_initial_members = a
ms_bind_msgr1 = false
ms_bind_port_min = $((port + 10))
ms_bind_port_max = $((port + 29))
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = $dir/run
crash_dir = $dir/run
admin_socket =
log_file = $dir/log/\$name.log
keyring = $dir/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
[mon.a]
mon_data = $dir/mon
[osd.0]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_class_update_on_start = false
osd_crush_initial_weight = 1
[client.rgw]
rgw_data = $dir/rgw
rgw_frontends = beast endpoint=127.0.0.1:$port
# Without it the gateway insists on an encryption that needs keys.
ms_mon_client_mode = crc
rgw_s3_auth_use_sts = true
rgw_sts_key = $(random_hex 8)
# 900 is the default; so a test can see credentials end.
rgw_sts_min_session_duration = 1
rgw_rados_pool_pg_num_min = 4
EOF
}

write_env() {
    cat >"$dir/env" <<EOF
S3_ENDPOINT=http://127.0.0.1:$port
STS_ENDPOINT=http://127.0.0.1:$port
AWS_REGION=us-east-1
AWS_DEFAULT_REGION=us-east-1
AWS_ACCESS_KEY_ID=OPERATOR$(random_hex 6 | tr a-f A-F)
AWS_SECRET_ACCESS_KEY=$(random_hex 20)
API_ACCESS_KEY_ID=PARTHAUL$(random_hex 6 | tr a-f A-F)
API_SECRET_ACCESS_KEY=$(random_hex 20)
ROLE_ARN=arn:aws:iam:::role/uploader
BUCKET=uploads
EOF
}

role() { # NAME USER
    admin role create --role-name="$1" --path=/ --assume-role-policy-doc="{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"arn:aws:iam:::user/$2\"]},\"Action\":[\"sts:AssumeRole\"]}]}"
    admin role-policy put --role-name="$1" --policy-name=all --policy-doc='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}'
}

wait_for() { # COMMAND...: half a minute
    tries=300
    until "$@" >/dev/null 2>&1; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        sleep 0.1
    done
}

start() {
    port=$1
    command -v radosgw >/dev/null || die 'not installed; run tests/setup/deps.sh ceph'
    [ ! -e "$dir/pid" ] || die "already running in $dir"
    refuse_busy_ports ceph-rgw "$port" $((port + 1)) $(seq $((port + 10)) $((port + 29)))
    rm -rf "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/log" "$dir/run" "$dir/keyring"
    mkdir -p "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/log" "$dir/run" "$dir/pid"
    write_config
    conf="-c $dir/ceph.conf"
    fsid=$(sed -n 's/^fsid = //p' "$dir/ceph.conf")
    osd=$(cat /proc/sys/kernel/random/uuid)
    {
        ceph-authtool -C "$dir/keyring" -g -n mon. --cap mon 'allow *'
        ceph-authtool "$dir/keyring" -g -n client.admin --cap mon 'allow *' --cap osd 'allow *'
        monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$((port + 1))/0]" "$dir/monmap"
        ceph-mon $conf --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    } >"$dir/log/setup" 2>&1 || { tail -n 5 "$dir/log/setup" >&2; die 'the monitor cannot be made'; }
    launch mon ceph-mon $conf -i a -f
    {
        wait_for ceph $conf --connect-timeout 2 quorum_status &&
            ceph $conf osd new "$osd" 0 && ceph-osd $conf -i 0 --mkfs --osd-uuid "$osd"
    } >>"$dir/log/setup" 2>&1 || { tail -n 5 "$dir/log/setup" >&2; stop; die "did not start; see $dir/log"; }
    launch osd ceph-osd $conf -i 0 -f
    launch rgw radosgw $conf -n client.rgw -f
    wait_for curl -sf -o /dev/null "http://127.0.0.1:$port/" || { stop; die "did not start; see $dir/log"; }
    write_env
    . "$dir/env"
    admin user create --uid=operator --display-name=operator --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY"
    admin user create --uid=parthaul-api --display-name=parthaul-api --access-key="$API_ACCESS_KEY_ID" --secret-key="$API_SECRET_ACCESS_KEY"
    role uploader parthaul-api
    role other operator
}

mark() { printf '%s\n' "$dir/ceph.conf"; }

stop() {
    for name in rgw osd mon; do
        [ -e "$dir/pid/$name" ] || continue
        pid=$(cat "$dir/pid/$name")
        # Nothing is worth saving, and their own ends take seconds.
        if is_ours "$pid"; then kill -KILL "$pid"; fi
        tries=100
        while is_ours "$pid" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    done
    rm -rf "$dir/pid"
}

obey "$@"

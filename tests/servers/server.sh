# Sourced by the scripts that start a server; `here` is their folder. They define `start PORT` and
# `stop`, which keep everything in $dir, and `mark`: the argument that only their processes there have.
. "$here/../setup/ports.sh"
me=$(basename "$0" .sh)
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

die() { echo "$me: $*" >&2; exit 1; }
random_hex() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
is_ours() { # PID: does it (still) run our server?
    tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qxF -e "$(mark)"
}

obey() { # start DIR PORT | stop DIR
    usage="usage: $me.sh start DIR PORT | stop DIR"
    [ $# -ge 2 ] || die "$usage"
    action=$1
    mkdir -p "$2"
    dir=$(cd "$2" && pwd)
    case $action:$# in
        start:3) start "$3" ;;
        stop:2) stop ;;
        *) die "$usage" ;;
    esac
}

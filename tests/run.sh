#!/bin/sh
# Runs the given test programs, JOBS=2 at a time: most of them wait for servers and browsers half of
# their time. Each one's output is shown when it ends, so that nothing is mixed. Says at the end how
# many passed; a program that fails does not stop the others, and is named once more.
set -u
[ $# -gt 0 ] || exit 0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
export dir

printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I{} sh -c '
    began=$(date +%s)
    out=$(mktemp "$dir/out.XXXXXX")
    "$1" </dev/null >"$out" 2>&1 || echo "FAILED $1" >>"$dir/failed"
    exec 9>"$dir/lock"
    flock 9
    echo "== $1, $(($(date +%s) - began)) s"
    cat "$out"' sh {}

failed=0
[ ! -e "$dir/failed" ] || { cat "$dir/failed" && failed=$(wc -l <"$dir/failed"); }
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/sh
# Runs the given test programs one after the other, and says at the end how many passed.
# A program that fails does not stop the others; its name is repeated at the end.
set -u
passed=0
failed=
for program; do
    echo "== $program"
    if "$program" </dev/null; then passed=$((passed + 1)); else failed="$failed $program"; fi
done
[ $# -gt 0 ] || exit 0
for program in $failed; do echo "FAILED $program"; done
echo "$passed passed, $(($# - passed)) failed"
[ "$passed" = $# ]

#!/bin/sh
# fuzz.sh SECONDS PROGRAM... : lets each fuzzer loose for so long, beginning with our corpus. What it
# learns is kept in build/fuzz/corpus, and an input that breaks something in build/fuzz; once it is
# mended, that input belongs into tests/fuzz/corpus.
set -eu
seconds=$1
shift
for program; do
    name=$(basename "$program")
    corpus=corpus/${name#fuzz_}
    mkdir -p "build/fuzz/$corpus"
    printf '%s, %s s: ' "$name" "$seconds"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$name-" "build/fuzz/$corpus" "tests/fuzz/$corpus" \
        >"build/fuzz/$name.log" 2>&1 || { echo && tail -n 40 "build/fuzz/$name.log" && exit 1; }
    sed -n 's/^stat::number_of_executed_units: //p' "build/fuzz/$name.log"
done

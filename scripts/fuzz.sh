#!/usr/bin/env bash
# libFuzzer over the targets, one after the other:
#   scripts/fuzz.sh 60                    each for 60 s
#   scripts/fuzz.sh 600 waypoint-detect   one of them
# What is found stays in out/fuzz/<target>/ and makes the exit status 1; it belongs into the target's corpus, with its fix.
# Our own crates are built with coverage, outside ones as ever. Needs a C++ compiler, for libFuzzer itself.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
root=$PWD
export LATEEN_ROOT=$root
target=${CARGO_TARGET_DIR:-$root/target}
out=$root/out/fuzz
# The same versions as ever.
[ -f tests/fuzz/Cargo.lock ] || cp Cargo.lock tests/fuzz/Cargo.lock
RUSTC_WRAPPER=$root/tests/fuzz/rustc.sh CARGO_TARGET_DIR=$target/fuzz \
    cargo build --manifest-path tests/fuzz/Cargo.toml
program=$target/fuzz/debug/lateen-fuzz
found=0
while read -r name corpus; do
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    mkdir -p "$out/$name"
    mkdir -p "$out/corpus/$name"
    if LATEEN_FUZZ=$name nice -n 10 "$program" "$out/corpus/$name" "$corpus" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len=8192 -artifact_prefix="$out/$name/" >"$out/$name.log" 2>&1 </dev/null; then
        result=clean
    else
        result=FOUND
        found=1
    fi
    runs=$(sed -nE 's/^Done ([0-9]+) runs.*/\1/p; s/^#([0-9]+).*/\1/p' "$out/$name.log" | tail -1)
    echo "$name ${runs:-0} $result"
done < <(LATEEN_FUZZ=list "$program" 2>/dev/null)
exit $found

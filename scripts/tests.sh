#!/usr/bin/env bash
# Every test, in two lanes: those on a Kubernetes cluster wait for pods and for time most of the while, so they run beside all others.
# Their output comes in one piece at the end, or as soon as they fail. A test that was left out is named once more, last.
set -uo pipefail

log=$(mktemp)
others=$(mktemp)
trap 'rm -f "$log" "$others"; kill $(jobs -p) 2>/dev/null' EXIT

test=("${CARGO:-cargo}" test --workspace --locked)
echo "== Tests on a cluster, beside the others: $log"
"${test[@]}" --test cluster >"$log" 2>&1 &
cluster=$!

LATEEN_CLUSTER_TESTS=beside "${test[@]}" 2>&1 | tee "$others"
status=${PIPESTATUS[0]}
if ((status)); then
    echo "== Tests: FAILED (exit $status); those on a cluster are ended: what they said so far" >&2
    kill "$cluster" 2>/dev/null
    wait "$cluster" 2>/dev/null
    cat "$log"
    exit "$status"
fi
wait "$cluster"
status=$?
cat "$log"
# Whoever reads the end alone is to know what was not tried.
grep -hE '^ *!! LEFT OUT' "$others" "$log" || true
exit "$status"

#!/usr/bin/env bash
# Every test, in two lanes: those on a Kubernetes cluster wait for pods and for time most of the while, so they run beside all others.
# Their output comes in one piece at the end, or as soon as they fail. A test that was left out is named once more, last.
set -uo pipefail

log=$(mktemp)
others=$(mktemp)
cluster=
# The whole lane: cargo does not take its test with it.
end_cluster() {
    [ -z "$cluster" ] || kill -- "-$cluster" 2>/dev/null
    wait 2>/dev/null
}
trap 'end_cluster; rm -f "$log" "$others"' EXIT

test=("${CARGO:-cargo}" test --workspace --locked)
echo "== Tests on a cluster, beside the others: $log"
set -m
"${test[@]}" --test cluster >"$log" 2>&1 &
cluster=$!
set +m

LATEEN_CLUSTER_TESTS=beside "${test[@]}" 2>&1 | tee "$others"
status=${PIPESTATUS[0]}
if ((status)); then
    echo "== Tests: FAILED (exit $status); those on a cluster are ended: what they said so far" >&2
    end_cluster
    cat "$log"
    exit "$status"
fi
wait "$cluster"
status=$?
cat "$log"
# Whoever reads the end alone is to know what was not tried.
grep -hE '^ *!! LEFT OUT' "$others" "$log" || true
exit "$status"

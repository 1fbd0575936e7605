#!/bin/sh
# rustc, with coverage as libFuzzer wants it for our own crates: with comparisons for those that hold parsers, without for
# large ones, which would take minutes each.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table"
case "${CARGO_MANIFEST_DIR:-}:${CARGO_CRATE_NAME:-}" in
*:build_script_*) exec "$@" ;;
"$LATEEN_ROOT/waypoint"* | "$LATEEN_ROOT/controlplane"* | "$LATEEN_ROOT/crates/mesh-dataplane"*)
    # shellcheck disable=SC2086
    exec "$@" $coverage -Cllvm-args=-sanitizer-coverage-level=3
    ;;
"$LATEEN_ROOT"*)
    # shellcheck disable=SC2086
    exec "$@" $coverage -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$@" ;;
esac

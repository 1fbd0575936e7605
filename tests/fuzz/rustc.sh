#!/bin/sh
# rustc, with coverage as libFuzzer wants it for our own crates.
case "${CARGO_MANIFEST_DIR:-}:${CARGO_CRATE_NAME:-}" in
*:build_script_*) exec "$@" ;;
"$LATEEN_ROOT"*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$@" ;;
esac

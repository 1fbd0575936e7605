#!/usr/bin/env bash
# cargo for what is shipped and measured: profile `dist`, and no path of this machine in what comes out, so that the same sources
# and the same toolchain give the same bytes wherever they lie. Other profiles are left as they are.
#
#   scripts/dist.sh build --bins
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CARGO:=cargo}"
subcommand=${1:?usage: dist.sh CARGO-SUBCOMMAND [ARGUMENT...]}
shift

source=$(pwd -P)
target=${CARGO_TARGET_DIR:-target}
home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$target" "$home"
target=$(cd "$target" && pwd -P)
home=$(cd "$home" && pwd)

# Of several that fit, compilers take the last: the target directory lies in the sources, as a rule.
mapped=("$source=/build/source" "$target=/build/target" "$home=/build/cargo")
separator=$'\x1f' # which flags may not contain, where they may contain blanks
flags=${CARGO_ENCODED_RUSTFLAGS-${RUSTFLAGS:+${RUSTFLAGS// /$separator}}}
for pair in "${mapped[@]}"; do
    flags+=${flags:+$separator}--remap-path-prefix=$pair
    CFLAGS="${CFLAGS:+$CFLAGS }-ffile-prefix-map=$pair"
    CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }-ffile-prefix-map=$pair"
done
export CARGO_ENCODED_RUSTFLAGS=$flags CFLAGS CXXFLAGS
exec $CARGO "$subcommand" --profile dist --locked "$@"

#!/usr/bin/env bash
# Builds the programs of the earlier version that upgrades are tested from (the commit in tests/cluster/earlier), in a
# directory of their own: earlier.sh DIR. What is printed last is where they lie.
set -euo pipefail

dir=${1:?usage: earlier.sh DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
commit=$(<"$root/tests/cluster/earlier")
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [[ $(cat "$dir/commit" 2>/dev/null) != "$commit" ]]; then
    rm -rf "$dir/source"
    mkdir -p "$dir/source"
    git -C "$root" archive "$commit" | tar -x -C "$dir/source" ||
        { echo "earlier.sh: git has no commit $commit here: a whole clone has" >&2; exit 1; }
    echo "$commit" >"$dir/commit"
fi
# Not under the variables of this build: its target directory is its own.
cd "$dir/source"
export CARGO_TARGET_DIR=$dir/target
"${CARGO:-cargo}" build --workspace --locked --bins >&2
scripts/plugin.sh dev >&2
echo "$dir/target/debug"

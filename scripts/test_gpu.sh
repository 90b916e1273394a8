#!/usr/bin/env bash
# Proves on this machine's GPU that awsdet computes there what it computes on a CPU, and measures how fast; see
# docs/gpu.md. Without a GPU it says so and does nothing. It sets awsdet up if that was not done, with CUDA.
#
#   scripts/test_gpu.sh                          all parts, about five minutes; the result is in runs/gpu.json
#   scripts/test_gpu.sh --parts=operators,step   only these
#   scripts/test_gpu.sh --help                   what else it takes
set -euo pipefail
cd "$(dirname "$0")/.."

for argument in "$@"; do
    if [ "$argument" = --help ] || [ "$argument" = -h ]; then help=yes; fi
done
if [ -z "${help:-}" ] && ! { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }; then
    echo "test-gpu: nvidia-smi lists no GPU on this machine, so nothing was tested and nothing was written"
    exit 0
fi
scripts/setup.sh
TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2} exec .venv/bin/python -m tests.gpu "$@"

#!/usr/bin/env bash
# Counts what training and detection would launch, copy and wait for on a GPU, on a machine without one, and fails if a
# budget is exceeded: TensorFlow's GPU build runs over hollow CUDA libraries, see tests/gpu_counts. It needs nvcc, and
# 1.3 GB of disk for TensorFlow's GPU build, which is fetched once per machine; without nvcc it says so and does nothing.
#
#   scripts/gpu_counts.sh                       the budgets, at batch 2 and 8
#   scripts/gpu_counts.sh --help                what else it takes
#   AWSDET_COUNTED=FOLDER scripts/gpu_counts.sh counts another checkout, for a comparison; its budgets need not hold
#   AWSDET_CACHE=DIR                            folder that keeps TensorFlow; default: ~/.cache/awsdet
#   AWSDET_NVCC=/path/to/nvcc                   takes this compiler
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
counted=$(cd "${AWSDET_COUNTED:-.}" && pwd)
cache=${AWSDET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/awsdet}
out=$root/build/gpu_counts

say() { echo "gpu_counts: $*"; }
die() { echo "gpu_counts: $1" >&2; exit 1; }

[ -x .venv/bin/python ] || die "no .venv; make it with:  make setup"
if [ -n "${AWSDET_NVCC:-}" ]; then
    [ -x "$AWSDET_NVCC" ] || die "AWSDET_NVCC=$AWSDET_NVCC is no program"
elif ! ls "${CUDA_HOME:-}"/bin/nvcc /usr/local/cuda*/bin/nvcc >/dev/null 2>&1 && ! command -v nvcc >/dev/null; then
    say "no nvcc, so nothing was counted; install a CUDA toolkit"
    exit 0
fi

# Its name and hashes, as requirements-gpu.lock has them.
wheel=$(awk '/^[^ #]/ { mine = /^tensorflow==/ } mine' requirements-gpu.lock)
tensorflow=$cache/tensorflow-gpu-$(sha256sum <<<"$wheel" | cut -c 1-16)
mkdir -p "$cache" || die "$cache cannot be made; name another folder with AWSDET_CACHE=DIR"
exec 9>"$cache/tensorflow-gpu.lock" # two calls at the same time take turns
flock 9
if [ ! -e "$tensorflow/complete" ]; then
    say "fetching TensorFlow's GPU build into $tensorflow"
    rm -rf "$tensorflow"
    for attempt in 1 2 3; do # pip itself does not retry a download that breaks off in the middle
        if .venv/bin/python -m pip install -qq --require-hashes --no-deps --retries 10 --timeout 60 --no-input \
            --disable-pip-version-check --target "$tensorflow" -r <(echo "$wheel"); then
            touch "$tensorflow/complete"
            break
        fi
        [ "$attempt" != 3 ] || die "pip could not install TensorFlow's GPU build (its message is above); try again"
        sleep $((attempt * 5))
    done
fi

mkdir -p "$out"
.venv/bin/python tests/gpu_counts/build.py "$tensorflow/tensorflow" "$out/hollow" >"$out/build.log" 2>&1 ||
    { tail -n 20 "$out/build.log" >&2; die "the hollow libraries did not build"; }
# The operators for that TensorFlow, linked with the hollow runtime instead of NVIDIA's, so that their calls count too.
build=$out/ops-$(sha256sum <<<"$counted" | cut -c 1-8)
export PYTHONPATH=$tensorflow
if ! { .venv/bin/cmake -S "$counted/custom_ops" -B "$build" -DAWSDET_PYTHON="$root/.venv/bin/python" \
    -DAWSDET_CUDA_ARCHITECTURES=90 -DAWSDET_CUDART="$out/hollow/libhollow.so" ${AWSDET_NVCC:+-DAWSDET_NVCC="$AWSDET_NVCC"} &&
    .venv/bin/cmake --build "$build" --parallel "$(nproc)"; } >"$out/ops.log" 2>&1; then
    tail -n 20 "$out/ops.log" >&2
    die "the operators did not build; the whole log is $out/ops.log"
fi
grep -q "operators: CPU and CUDA" "$out/ops.log" || die "the operators were built without CUDA, see $out/ops.log"

# The package of the counted checkout beside this checkout's counting program.
overlay=$out/overlay
rm -rf "$overlay"
mkdir "$overlay"
ln -s "$counted/awsdet" "$overlay/awsdet"
ln -s "$root/tests" "$overlay/tests"
export PYTHONPATH=$overlay:$tensorflow LD_LIBRARY_PATH=$out/hollow
export AWSDET_OPERATORS=$build/libawsdet_ops.so
export TF_CPP_MIN_LOG_LEVEL=3 TF_CUDNN_USE_FRONTEND=0 TF_CUDNN_USE_AUTOTUNE=0 TF_FORCE_GPU_ALLOW_GROWTH=true
if [ "$counted" != "$root" ]; then
    cd "$overlay" # -m looks for packages in the present folder first
    "$root/.venv/bin/python" -m tests.gpu_counts.report --no-budgets --host-shapes "$@"
elif [ $# != 0 ]; then
    .venv/bin/python -m tests.gpu_counts.report "$@"
else
    .venv/bin/python -m tests.gpu_counts.report --json "$out/counts.json"
    # Whether the process that compiles kernels before a job starts on new GPUs launches all that the job will.
    .venv/bin/python -m tests.gpu_counts.warm "$out/counts.json"
fi

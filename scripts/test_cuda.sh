#!/usr/bin/env bash
# Builds the CUDA launchers with their stand-alone tests and runs them on this machine's GPU; needs nvcc and a C++
# compiler, neither TensorFlow nor Python. Without a GPU it says so and only builds; without nvcc it says that.
#
#   scripts/test_cuda.sh [cases] [seed]
#   AWSDET_CUDA_ARCH=sm_80 scripts/test_cuda.sh     compile for another GPU than this machine's
#   compute-sanitizer build/cuda/harness 5          memory errors and races, after a build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_nvcc() {
    local candidate
    for candidate in "${CUDA_HOME:-}/bin/nvcc" /usr/local/cuda-12*/bin/nvcc /usr/local/cuda/bin/nvcc \
        "$(command -v nvcc || true)"; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

nvcc=$(find_nvcc)
if [ -z "$nvcc" ]; then
    echo "no nvcc: nothing was compiled; install a CUDA toolkit to test the CUDA launchers"
    exit 0
fi
architecture=${AWSDET_CUDA_ARCH:-}
if [ -z "$architecture" ]; then
    architecture=sm_80
    if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then architecture=native; fi
fi
out=build/cuda
mkdir -p "$out"
echo "$nvcc for $architecture"

# One translation unit after the other, and only what is older than any source.
newest=$(ls -t custom_ops/cuda/* custom_ops/kernels/*.h custom_ops/tests/cuda_* | head -n 1)
objects=()
for source in custom_ops/cuda/*.cu custom_ops/tests/cuda_*.cu custom_ops/kernels/{roi_align,nms,weighted}*.cc; do
    object=$out/$(basename "$source").$architecture.o
    objects+=("$object")
    if [ "$object" -nt "$newest" ] && [ "$object" -nt "$source" ]; then continue; fi
    case $source in
        *.cu) "$nvcc" -std=c++17 -O3 -arch="$architecture" -Xcompiler -fPIC -Icustom_ops -c "$source" -o "$object" ;;
        *) ${CXX:-g++} -std=c++17 -O3 -fPIC -ffp-contract=off -Icustom_ops -c "$source" -o "$object" ;;
    esac
done
"$nvcc" -arch="$architecture" "${objects[@]}" -o "$out/harness"
# The launchers alone, for benchmarks/cuda_ops.py.
"$nvcc" -arch="$architecture" -shared "$out"/{roi_align,roi_align_grad,nms,nms_hard,nms_soft,cuda_c_api}.cu."$architecture".o \
    -o "$out/libawsdet_cuda.so"
"$out/harness" "$@"

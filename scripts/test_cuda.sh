#!/usr/bin/env bash
# Builds the CUDA launchers with their stand-alone tests, and runs these on this machine's GPU. It needs nvcc and a C++
# compiler, but neither TensorFlow nor Python. Without a GPU it only builds; without nvcc it does nothing. It says so.
#
#   scripts/test_cuda.sh [cases] [seed]
#   scripts/test_cuda.sh --emulate [cases] [seed]   runs the kernels on the CPU, under AddressSanitizer and UBSan
#   AWSDET_SANITIZE= scripts/test_cuda.sh --emulate runs them without the sanitizers, which is much faster
#   AWSDET_CUDA_ARCH=sm_80 scripts/test_cuda.sh     compiles for another GPU than this machine's
#   AWSDET_NVCC=/path/to/nvcc                       takes this compiler instead of CUDA_HOME's, /usr/local's or PATH's
#   AWSDET_CUDA_OUT=folder                          builds in that folder instead of build/cuda
#   CMAKE_CXX_COMPILER_LAUNCHER=ccache              puts ccache before the C++ compiler; CMAKE_CUDA_…, before nvcc
#   compute-sanitizer build/cuda/harness 5          finds memory errors and races on a GPU, after a build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

emulate=
if [ "${1:-}" = --emulate ]; then
    emulate=yes
    shift
fi

find_nvcc() {
    local candidate
    for candidate in ${AWSDET_NVCC:-"${CUDA_HOME:-}/bin/nvcc" /usr/local/cuda-12*/bin/nvcc /usr/local/cuda/bin/nvcc \
        "$(command -v nvcc || true)"}; do
        if [ -x "$candidate" ]; then
            readlink -f "$candidate"
            return
        fi
    done
}

nvcc=$(find_nvcc)
if [ -z "$nvcc" ]; then
    echo "no nvcc: nothing was compiled; install a CUDA toolkit to test the CUDA launchers"
    exit 0
fi
cxx="${CMAKE_CXX_COMPILER_LAUNCHER:-} ${CXX:-g++} -std=c++17 -fPIC -ffp-contract=off -Icustom_ops"
if [ -n "$emulate" ]; then
    out=${AWSDET_CUDA_OUT:-build/cuda-emulation}
    sanitize=${AWSDET_SANITIZE-address,undefined}
    sanitize=${sanitize:+-g -fsanitize=$sanitize -fno-sanitize-recover=undefined}
    headers_of_cuda=$(dirname "$nvcc")/../include
    compile="$cxx -O1 $sanitize -DAWSDET_CUDA_EMULATION -Wno-unknown-pragmas -isystem $headers_of_cuda -x c++"
    link="${CXX:-g++} $sanitize"
else
    architecture=${AWSDET_CUDA_ARCH:-}
    if [ -z "$architecture" ]; then
        architecture=sm_80
        if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then architecture=native; fi
    fi
    out=${AWSDET_CUDA_OUT:-build/cuda}
    compile="${CMAKE_CUDA_COMPILER_LAUNCHER:-} $nvcc -std=c++17 -O3 -arch=$architecture -Xcompiler -fPIC -Icustom_ops"
    link="$nvcc -arch=$architecture"
    echo "$nvcc for $architecture"
fi
mkdir -p "$out"

# An object is compiled again if its source, any header or the compiler's command line is newer.
[ "$(cat "$out/command" 2>/dev/null)" = "$compile" ] || echo "$compile" >"$out/command"
headers=$(ls -t custom_ops/{cuda,kernels,tests}/*.h "$out/command" | head -n 1)
sources=(custom_ops/cuda/*.cu custom_ops/tests/*.cu)
sources+=(custom_ops/kernels/{affine,anchors,cell_windows,decode_boxes,match,multi_tensor,roi_align,nms,sample,top_boxes,weighted}*.cc)
objects=()
commands=()
for source in "${sources[@]}"; do
    object=$out/$(basename "$source").o
    objects+=("$object")
    if [ "$object" -nt "$headers" ] && [ "$object" -nt "$source" ]; then continue; fi
    case $source in
        *.cu) commands+=("$compile -c $source -o $object") ;;
        *) commands+=("$cxx -O3 -c $source -o $object") ;;
    esac
done
if [ ${#commands[@]} -gt 0 ]; then printf '%s\n' "${commands[@]}" | xargs -P "$(nproc)" -I '{}' sh -c '{}'; fi
$link "${objects[@]}" -o "$out/harness"
if [ -z "$emulate" ]; then  # only the launchers, for benchmarks/cuda_ops.py
    $link -shared "$out"/{affine,decode_boxes,roi_align,roi_align_grad,nms,nms_hard,nms_soft,top_boxes,cuda_c_api}.cu.o -o "$out/libawsdet_cuda.so"
fi
"$out/harness" "$@"

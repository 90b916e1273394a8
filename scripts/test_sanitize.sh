#!/usr/bin/env bash
# Builds the operators under AddressSanitizer and UndefinedBehaviorSanitizer, in build/sanitize, and runs tests/ops with
# that build. The first report of either sanitizer ends the run with an error. Only custom_ops/kernels and
# custom_ops/tensorflow are instrumented, not TensorFlow itself.
#
#   scripts/test_sanitize.sh [arguments of pytest, as in -k roi_align]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=build/sanitize
cmake -S custom_ops -B "$out" -DAWSDET_PYTHON="$(command -v python)" -DCMAKE_BUILD_TYPE=Debug \
    -DAWSDET_SANITIZE=address,undefined -DCMAKE_CXX_FLAGS=-fno-sanitize-recover=all >"$out.log" 2>&1 ||
    { cat "$out.log"; exit 1; }
cmake --build "$out" --target awsdet_ops --parallel "$(nproc)"
library=$out/libawsdet_ops.so

compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$out/CMakeCache.txt")
asan=$("$compiler" -print-file-name=libasan.so)
if ! [ -f "$asan" ] || [ "$(nm -D "$library" | grep -c __asan_report)" = 0 ]; then
    echo "$library is not under AddressSanitizer ($compiler, $asan)" >&2
    exit 1
fi

# Python and TensorFlow do not free all their memory, so leaks are not looked for. With --capture=sys pytest lets reports
# through to stderr.
LD_PRELOAD="$(readlink -f "$asan"):$(readlink -f "$("$compiler" -print-file-name=libstdc++.so)")" \
    ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    python -m pytest -q --capture=sys --ops-library="$library" \
    --ignore=tests/ops/reference --ignore=tests/ops/test_cuda.py tests/ops "$@"
echo "no report of AddressSanitizer or UndefinedBehaviorSanitizer; these sources were instrumented:"
ls custom_ops/kernels/*.cc custom_ops/tensorflow/*.cc | grep -v '_gpu\.cc$' | sed 's/^/  /'

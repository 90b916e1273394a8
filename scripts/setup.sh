#!/usr/bin/env bash
# Makes .venv: installs the pinned packages, builds Horovod against their TensorFlow, and installs awsdet itself as an
# editable package. Steps that are done are not repeated, so a second call takes no time. `make setup`, `make test` and
# `make train` call this script.
#
#   scripts/setup.sh mpi         also makes .venv-mpi, see below
#
#   PYTHON=/path/to/python3.11   the interpreter for a new .venv; default: the first of python3.11, 3.10, python3
#   AWSDET_VARIANT=cpu|gpu       the build of TensorFlow; default: gpu if nvidia-smi lists a GPU
#   AWSDET_MPI=no                build Horovod without MPI, even if mpirun and mpicxx are installed
#   AWSDET_CACHE=DIR             folder that keeps built Horovod wheels; default: ~/.cache/awsdet
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
venv=$root/.venv
stamps=$venv/awsdet-setup
cache=${AWSDET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/awsdet}
sudo=$([ "$(id -u)" = 0 ] || echo "sudo ")

say() { echo "setup: $*"; }
die() { # $1: what is wrong, $2: the command that fixes it
    echo "setup: $1" >&2
    [ -z "${2:-}" ] || echo "setup: fix it with:  $2" >&2
    exit 1
}

# ---------------------------------------------------------------------------------------------------- this machine

choose_variant() {
    if [ -n "${AWSDET_VARIANT:-}" ]; then
        case $AWSDET_VARIANT in cpu | gpu) ;; *) die "AWSDET_VARIANT=$AWSDET_VARIANT is neither cpu nor gpu" ;; esac
        echo "$AWSDET_VARIANT"
    elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
        echo gpu
    else
        echo cpu
    fi
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; }

choose_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || die "PYTHON=$PYTHON is neither Python 3.10 nor 3.11, which awsdet needs" \
            "make setup PYTHON=/path/to/python3.11"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.10 python3; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
    die "no Python 3.10 or 3.11 found, which awsdet needs" \
        "${sudo}apt-get install python3.11 python3.11-venv   (or: make setup PYTHON=/path/to/python3.11)"
}

# Prints the folder of a CUDA toolkit with nvcc and its headers, or nothing.
find_cuda() {
    local home nvcc
    nvcc=$(command -v nvcc || true)
    # CUDA 12 first, which TensorFlow 2.15 is built with: a newer toolkit may need a newer driver than this machine has.
    for home in "${HOROVOD_CUDA_HOME:-}" "${CUDA_HOME:-}" /usr/local/cuda-12* /usr/local/cuda \
        ${nvcc:+"$(dirname "$(dirname "$(readlink -f "$nvcc")")")"}; do
        if [ -n "$home" ] && [ -x "$home/bin/nvcc" ] && [ -e "$home/include/cuda_runtime.h" ]; then
            echo "$home"
            return
        fi
    done
}

# Prints the version of the MPI to build Horovod with, or nothing. mpicxx is needed to build it, mpirun to start it.
find_mpi() {
    if command -v mpirun >/dev/null && command -v mpicxx >/dev/null; then
        mpirun --version 2>/dev/null | head -n 1
    fi
}

# ------------------------------------------------------------------------------------------------------------------ pip

# Runs pip of the venv, up to three times: pip itself does not retry a download that breaks off in the middle.
run_pip() {
    local attempt
    for attempt in 1 2 3; do
        "$venv/bin/python" -m pip "$@" --retries 10 --timeout 60 --disable-pip-version-check --no-input && return
        [ "$attempt" = 3 ] || { say "pip failed; trying again in $((attempt * 5)) seconds"; sleep $((attempt * 5)); }
    done
    return 1
}

# Does a step unless its stamp says that it is done. $1: name, $2: text of all that the step depends on, $3: function.
step() {
    local stamp=$stamps/$1
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$2" ]; then return; fi
    rm -f "$stamp"
    "$3"
    printf '%s' "$2" >"$stamp"
}

site_packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; } # $1: a venv

digest() { cat "$@" | sha256sum | cut -c 1-64; }

# ---------------------------------------------------------------------------------------------------------------- steps

install_packages() {
    local python
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
        die "tensorflow-addons has no build for $(uname -s) $(uname -m): awsdet runs on x86-64 Linux"
    command -v g++ >/dev/null || die "no C++ compiler (Horovod is built from source)" "${sudo}apt-get install g++"
    command -v make >/dev/null || die "no make (Horovod is built from source)" "${sudo}apt-get install make"
    python=$(choose_python)
    say "$("$python" --version), TensorFlow for $variant, into .venv"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python has no venv module" \
            "${sudo}apt-get install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    [ ! -e "$venv" ] || [ -d "$stamps" ] || die ".venv exists, but was not made by this script" "rm -rf .venv && make setup"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    mkdir "$stamps"
    say "installing requirements-$variant.lock"
    run_pip install -qq --require-hashes -r "requirements-$variant.lock" ||
        die "pip could not install requirements-$variant.lock (its message is above)" "make setup   (again, if the network was at fault)"
}

# Prints everything that a built Horovod depends on. A wheel fits this machine if its text is the same.
horovod_key() {
    local site
    site=$(site_packages "$venv")
    echo "horovod $(digest requirements-horovod.lock)"
    echo "tensorflow $(digest "$site/tensorflow/libtensorflow_framework.so.2")"
    echo "python $("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')"
    echo "compiler $(g++ -dumpfullversion) $(getconf GNU_LIBC_VERSION)"
    echo "processor $(uname -m) $(grep -m 1 '^flags' /proc/cpuinfo | grep -ow -e f16c -e avx -e fma | sort | tr '\n' ' ')"
    echo "mpi ${mpi:-none}"
    [ -z "$cuda" ] || echo "cuda $("$cuda/bin/nvcc" --version | tail -n 1) nccl $(digest "$site/nvidia/nccl/include/nccl.h")"
}

install_horovod() {
    local wheels
    provide_horovod
    say "installing Horovod from $wheels"
    run_pip install -qq --no-deps --no-index --force-reinstall "$wheels"/horovod-*.whl
    check_horovod "$venv/bin/python"
}

# Sets $wheels to a folder with a Horovod for this machine and $mpi; builds it if the cache has none.
provide_horovod() {
    local key
    mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || cache=$venv/cache # the home folder cannot be written to
    key=$(horovod_key)
    wheels=$cache/horovod-$(digest <<<"$key")
    if [ -e "$wheels/key" ] && [ "$(cat "$wheels/key")" = "$key" ] && (cd "$wheels" && sha256sum --quiet -c sums) 2>/dev/null; then
        return
    fi
    build_horovod "$wheels" "$key"
}

# Builds the wheel into the folder $1, with the key $2 beside it. The folder appears only once it is complete.
build_horovod() {
    local log=$venv/horovod-build.log aside
    say "building Horovod with Gloo${mpi:+, MPI}${cuda:+, NCCL and $cuda} (about two minutes on two cores)"
    mkdir -p "$cache"
    aside=$(mktemp -d "$cache/aside-XXXXXX")
    # Horovod's build uses MAKEFLAGS instead of an own -j. An outer `make` may have put something else there.
    (
        export PATH=$venv/bin:$PATH HOROVOD_CMAKE=$venv/bin/cmake
        export MAKEFLAGS="-j$(nproc)"
        export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITH_GLOO=1
        if [ -n "$mpi" ]; then export HOROVOD_WITH_MPI=1; else export HOROVOD_WITHOUT_MPI=1; fi
        if [ -n "$cuda" ]; then use_nccl; fi
        run_pip wheel -v --no-deps --no-build-isolation --no-cache-dir --require-hashes --wheel-dir "$aside" \
            -r requirements-horovod.lock
    ) >"$log" 2>&1 || {
        rm -rf "$aside"
        tail -n 30 "$log" >&2
        die "Horovod did not build; the whole log is $log"
    }
    printf '%s' "$2" >"$aside/key"
    (cd "$aside" && sha256sum horovod-*.whl >sums)
    rm -rf "$1"
    mv "$aside" "$1"
}

# Settings for Horovod's build with the NCCL that came with TensorFlow. The wheel of NCCL has libnccl.so.2 but no libnccl.so
# to link with, so a folder of our own gets a link of that name. The built library must not look for NCCL in this folder,
# but relative to itself ($ORIGIN), since its place is the same in every venv.
use_nccl() {
    local site link=$venv/nccl-link
    site=$(site_packages "$venv")
    mkdir -p "$link"
    ln -sf "$site/nvidia/nccl/lib/libnccl.so.2" "$link/libnccl.so"
    export PATH=$cuda/bin:$PATH
    export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME=$cuda HOROVOD_NCCL_LINK=SHARED
    export HOROVOD_NCCL_INCLUDE=$site/nvidia/nccl/include HOROVOD_NCCL_LIB=$link
    export LDFLAGS="${LDFLAGS:-} -Wl,-rpath,'\$ORIGIN/../../nvidia/nccl/lib'"
}

check_horovod() { # $1: the Python that has it
    "$1" - "${mpi:+mpi}" "${cuda:+nccl}" >"$venv/horovod-check.log" 2>&1 <<'PYTHON' ||
import sys
import horovod.tensorflow as hvd
built = {"gloo": hvd.gloo_built(), "mpi": hvd.mpi_built(), "nccl": hvd.nccl_built()}
missing = [name for name in ["gloo", *filter(None, sys.argv[1:])] if not built[name]]
sys.exit(f"built without {', '.join(missing)}" if missing else 0)
PYTHON
        { tail -n 5 "$venv/horovod-check.log" >&2; die "the Horovod that was built does not load" "rm -rf $cache .venv && make setup"; }
}

# Makes .venv-mpi for runs under mpirun: it holds a Horovod with MPI and takes everything else from .venv. So .venv can stay
# without MPI, as it is on most machines, and both are tested.
install_overlay() {
    local mpi overlay=$root/.venv-mpi wheels
    mpi=$(find_mpi)
    rm -rf "$overlay"
    "$venv/bin/python" -m venv --without-pip "$overlay"
    provide_horovod
    say "installing Horovod with MPI into .venv-mpi"
    run_pip --python "$overlay/bin/python" install -qq --no-deps --no-index "$wheels"/horovod-*.whl
    # addsitedir, and not just the path, because awsdet's editable installation is a .pth file of .venv.
    echo "import site; site.addsitedir('$(site_packages "$venv")')" >"$(site_packages "$overlay")/awsdet-venv.pth"
    check_horovod "$overlay/bin/python"
}

install_awsdet() {
    say "building the operators (about a minute)"
    run_pip install -qq --no-deps --no-build-isolation --no-index -e . || die "awsdet itself could not be installed"
}

# ----------------------------------------------------------------------------------------------------------------- main

variant=$(choose_variant)
case ${AWSDET_MPI:-yes} in
    yes) mpi=$(find_mpi) ;;
    no) mpi="" ;;
    *) die "AWSDET_MPI=$AWSDET_MPI is neither yes nor no" ;;
esac
cuda=$([ "$variant" = cpu ] || find_cuda)

case ${1:-} in
    "" | mpi) ;;
    *) die "unknown argument $1; the only one is mpi" ;;
esac
[ -z "${1:-}" ] || [ -n "$(find_mpi)" ] ||
    die "no mpirun and mpicxx, which .venv-mpi needs" "${sudo}apt-get install openmpi-bin libopenmpi-dev"

exec 9<scripts/setup.sh # two calls at the same time take turns
flock 9

start=$SECONDS
step packages "$root $variant $(digest requirements-$variant.lock)" install_packages
step horovod "$(digest requirements-horovod.lock) ${mpi:-no MPI} ${cuda:-no CUDA}" install_horovod
[ -e awsdet/ops/libawsdet_ops.so ] || rm -f "$stamps/awsdet"
step awsdet "$(digest setup.py pyproject.toml $(find custom_ops -type f | sort))" install_awsdet
if [ "${1:-}" = mpi ]; then
    [ -x .venv-mpi/bin/python ] || rm -f "$stamps/overlay"
    step overlay "$(digest requirements-horovod.lock) $(find_mpi) ${cuda:-no CUDA}" install_overlay
fi
if [ $((SECONDS - start)) -gt 3 ]; then
    say "done in $((SECONDS - start)) seconds"
    if [ "$variant" = gpu ] && [ -z "$cuda" ]; then
        say "this GPU machine has no nvcc, so Horovod has no NCCL, which makes several GPUs faster;" \
            "fix it with:  ${sudo}apt-get install nvidia-cuda-toolkit && make setup"
    fi
    if command -v mpirun >/dev/null && [ -z "$mpi" ] && [ "${AWSDET_MPI:-yes}" = yes ]; then
        say "this machine has mpirun but no mpicxx, so Horovod has no MPI;" \
            "fix it with:  ${sudo}apt-get install libopenmpi-dev && make setup"
    fi
fi

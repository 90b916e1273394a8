#!/usr/bin/env bash
# Makes the environments of what some tests start beside awsdet and what does not belong into .venv: one for each file of
# tests/environments. They are made once per machine and kept in ~/.cache/awsdet.
#
#   scripts/setup_test_environments.sh [NAME …]       makes those that are missing; a second call takes no time
#   scripts/setup_test_environments.sh --where NAME   prints the folder of one, or nothing if it was not made yet
#
# SageMaker's toolkit is built from source, so it needs gcc.
#
#   PYTHON=/path/to/python3.11   default: that of .venv, else the first of python3.11, 3.10, python3
#   AWSDET_CACHE=DIR             default: ~/.cache/awsdet
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${AWSDET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/awsdet}

die() { echo "setup_test_environments: $1" >&2; exit 1; }

choose_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} .venv/bin/python python3.11 python3.10 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.10 or 3.11 found; name one with PYTHON=/path/to/python3.11"
}

# The folder of the environment $1: another one for other packages or another Python.
place() { echo "$cache/$1-$abi-$(sha256sum <"tests/environments/$1.txt" | cut -c 1-16)"; }

make_environment() { # $1: its name
    local folder attempt
    folder=$(place "$1")
    [ ! -e "$folder/complete" ] || return 0
    echo "setup_test_environments: installing $1 into $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder" || die "$python has no venv module; install python3-venv"
    for attempt in 1 2 3; do # pip itself does not retry a download that breaks off in the middle
        # A file names all that is needed of what its packages depend on.
        if "$folder/bin/python" -m pip install -qq --require-hashes --no-deps --retries 10 --timeout 60 --no-input \
            --disable-pip-version-check -r "tests/environments/$1.txt"; then
            touch "$folder/complete"
            return
        fi
        sleep $((attempt * 5))
    done
    die "pip could not install tests/environments/$1.txt (its message is above); call the script again"
}

known=$(cd tests/environments && ls -- *.txt | sed 's/\.txt$//' | tr '\n' ' ')
check_name() { [[ " $known" == *" $1 "* ]] || die "unknown environment '$1'; there are: ${known% }"; }

python=$(choose_python)
abi=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
if [ "${1:-}" = --where ]; then
    [ $# = 2 ] || die "--where takes one name; there are: ${known% }"
    check_name "$2"
    folder=$(place "$2")
    [ ! -e "$folder/complete" ] || echo "$folder"
    exit
fi
[ $# != 0 ] || set -- $known
for name in "$@"; do check_name "$name"; done
mkdir -p "$cache" || die "$cache cannot be made; name another folder with AWSDET_CACHE=DIR"
exec 9>"$cache/test-environments.lock" # two calls at the same time take turns
flock 9
for name in "$@"; do make_environment "$name"; done

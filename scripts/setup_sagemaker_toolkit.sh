#!/usr/bin/env bash
# Makes an environment with SageMaker's training toolkit, which tests/sagemaker starts our entry point with, and hadolint,
# which checks sagemaker/Dockerfile. The toolkit's packages do not fit beside TensorFlow's, so neither is in .venv. It is
# made once per machine and kept in ~/.cache/awsdet. The toolkit is built from source, so it needs gcc.
#
#   scripts/setup_sagemaker_toolkit.sh           makes it if it is missing; a second call takes no time
#   scripts/setup_sagemaker_toolkit.sh --where   prints its folder, or nothing if it was not made yet
#
#   PYTHON=/path/to/python3.11   default: that of .venv, else python3
#   AWSDET_CACHE=DIR             default: ~/.cache/awsdet
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${AWSDET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/awsdet}
requirements=tests/sagemaker/requirements-toolkit.txt

die() { echo "setup_sagemaker_toolkit: $1" >&2; exit 1; }

python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || python=python3
abi=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))') || die "$python does not run"
folder=$cache/sagemaker-toolkit-$abi-$(sha256sum <"$requirements" | cut -c 1-16)
case ${1:-} in
    --where) [ ! -e "$folder/complete" ] || echo "$folder"; exit ;;
    "") ;;
    *) die "unknown argument $1; it takes none, or --where" ;;
esac

mkdir -p "$cache" || die "$cache cannot be made; name another folder with AWSDET_CACHE=DIR"
exec 9>"$cache/sagemaker-toolkit.lock" # two calls at the same time take turns
flock 9
[ ! -e "$folder/complete" ] || exit 0
command -v gcc >/dev/null || die "the toolkit is built from source: install gcc"
echo "setup_sagemaker_toolkit: installing $requirements into $folder"
rm -rf "$folder"
"$python" -m venv "$folder" || die "$python has no venv module; install python3-venv"
for attempt in 1 2 3; do # pip itself does not retry a download that breaks off in the middle
    if "$folder/bin/python" -m pip install -qq --require-hashes --retries 10 --timeout 60 --no-input \
        --disable-pip-version-check -r "$requirements"; then
        touch "$folder/complete"
        exit 0
    fi
    sleep $((attempt * 5))
done
die "pip could not install $requirements (its message is above); call the script again"

#!/usr/bin/env bash
# Trains on one machine, with one process per GPU. Without GPUs, the processes share the cores.
#
#   scripts/train_ec2_single_node.sh PROCESSES CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]
#
# The run is written to runs/<name of the config file>, or to --output. After SIGTERM the processes finish their step and
# save a checkpoint. Ctrl-C does the same if there are several processes. The exit codes are those of awsdet: 0 done,
# 1 failed, 2 a mistake that the user can fix.
set -euo pipefail

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 2
}

usage="usage: $0 PROCESSES CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]"
[[ $# -ge 2 ]] || fail "$usage"
processes=$1
config=$2
shift 2
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "PROCESSES is '$processes', not a number above 0; $usage"
[[ -f $config ]] || fail "config file $config does not exist; configs/ holds the ready ones"

# Take awsdet from the .venv that `make setup` made, or else from the PATH.
venv="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin"
[[ -x $venv/awsdet ]] && export PATH="$venv:$PATH"
command -v awsdet >/dev/null || fail "awsdet is not installed; run make setup"

output="--output=runs/$(basename "${config%.py}")"
for argument in "$@"; do
    case $argument in
        --output | --output=*) output="" ;;
        --config.* | --resume | --resume=* | --noresume | [!-]*) ;;
        *) fail "unknown argument $argument; $usage" ;;
    esac
done
arguments=("--config=$config" "--processes=$processes" ${output:+"$output"} "$@")

if [[ $processes -eq 1 ]]; then
    exec awsdet train "${arguments[@]}"
fi
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}" # horovodrun loads TensorFlow, which prints start-up messages
command -v horovodrun >/dev/null || fail "horovodrun is not installed; run make setup"

# One process looks for mistakes of the user first, so that each is reported once and with the right exit code.
awsdet train --check "${arguments[@]}" >/dev/null || exit $?

# horovodrun kills its processes five seconds after it gets a signal, which is too soon to finish a step and save. So it
# runs in a session of its own, which Ctrl-C does not reach, and the first signal goes to the training processes directly:
# `ps` finds them, they are the last generation below the launcher. A second signal goes to the launcher, as does the first
# one if there is no ps.
setsid horovodrun --gloo -np "$processes" awsdet train "${arguments[@]}" &
launcher=$!
signalled=""

# shellcheck disable=SC2329  # the trap calls it
stop() {
    local parents=$launcher ranks="" found
    while [[ -z $signalled && -n $parents ]] && found=$(ps -o pid= --ppid "$parents" 2>/dev/null); do
        parents=$(xargs <<<"$found")
        ranks=$parents
    done
    signalled=yes
    # shellcheck disable=SC2086  # a list of numbers
    kill -TERM ${ranks:-$launcher} 2>/dev/null || true
}
trap stop TERM INT HUP

code=0
wait "$launcher" || code=$?
while kill -0 "$launcher" 2>/dev/null; do # a signal interrupted the wait
    code=0
    wait "$launcher" || code=$?
done
exit "$code"

#!/usr/bin/env bash
# Trains on the GPUs (or, without any, the cores) of one machine, one process each.
#
#   scripts/train_ec2_single_node.sh PROCESSES CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]
#
# The output is runs/<name of the config file> unless --output says otherwise. SIGTERM lets the processes finish their
# step and save; so does the first Ctrl-C where there are several. Exit codes are those of awsdet: 0 done, 1 failed, 2 a
# mistake that the user can mend.
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

# The environment that `make setup` made beside this script comes first, then what is on the PATH.
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
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}" # horovodrun loads TensorFlow, which chatters
command -v horovodrun >/dev/null || fail "horovodrun is not installed; run make setup"

# The user's mistakes are found by one process, which says each once and with the right exit code.
awsdet train --check "${arguments[@]}" >/dev/null || exit $?

# In a session of its own, for Ctrl-C reaches a whole session: horovodrun kills its processes five seconds after a signal,
# too soon to finish a step and save. So the first signal goes to the processes themselves (`ps` finds them: the lowest
# below the launcher), and only a second one, or a first where there is no ps, to the launcher.
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
while kill -0 "$launcher" 2>/dev/null; do # a signal broke the wait off
    code=0
    wait "$launcher" || code=$?
done
exit "$code"

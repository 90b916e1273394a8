#!/usr/bin/env bash
# Runs the MLPerf Training benchmark of Mask R-CNN once and prints how long it took (docs/mlperf.md).
#
#   scripts/run_and_time.sh CONFIG [--processes=N] [--seed=N] [--box_min_ap=0.377] [--mask_min_ap=0.339]
#       [--results=DIR] [--caches-cleared] [--config.KEY=VALUE …]
#
# CONFIG is one of configs/mlperf. The log is DIR/result_0.txt, or the next number that is free, and the run is in DIR/run_0;
# DIR is runs/mlperf/<name of the config> if it is not given. Five calls make a result: awsdet mlperf check DIR.
#
#   DGXNGPU=8        the same as --processes; without both, one per GPU that nvidia-smi lists
#   DGXNNODES=2      machines; more than one needs HOSTS
#   HOSTS=h1:8,h2:8  hosts and their processes, as for awsdet launch; DIR must be on a disk that they share
#   DGXSYSTEM=NAME   name of the machine, for the log
#   AWSDET_DROP_CACHES=FILE  where 3 is written to clear the caches, for tests; default: /proc/sys/vm/drop_caches
#
# The exit codes: 0 the target was met, 1 it was not, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: $0 CONFIG [--processes=N] [--seed=N] [--box_min_ap=AP] [--mask_min_ap=AP] [--results=DIR] [--caches-cleared]
[--config.KEY=VALUE …]"
usage=${usage//$'\n'/ }
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$scripts/lib/train.sh"

config="" processes=${DGXNGPU:-} seed="" results="" cleared="" targets=() settings=()
# Flags of this script and of the earlier ones of this benchmark; a value may follow "=" or stand by itself.
while [[ $# -gt 0 ]]; do
    argument=$1 value=""
    shift
    case $argument in
        --config.*=* | --caches-cleared) ;;
        --config.*) fail "$argument has no value; write $argument=VALUE" ;;
        --*=*) value=${argument#*=} argument=${argument%%=*} ;;
        --cfg | --config-file | --processes | --seed | --box_min_ap | --mask_min_ap | --min_bbox_map | --min_mask_map | \
            --results) [[ $# -gt 0 ]] || fail "$argument has no value; $usage"; value=$1; shift ;;
    esac
    case $argument in
        --config.seed=*) fail "the seed is given as --seed=N" ;;
        --config.train.mlperf_log=*) fail "the log goes to DIR/result_N.txt; give --results=DIR" ;;
        --config.*) settings+=("$argument") ;;
        --processes) processes=$value ;;
        --seed) seed=$value ;;
        --box_min_ap | --min_bbox_map) targets+=("--config.train.box_ap_target=$value") ;;
        --mask_min_ap | --min_mask_map) targets+=("--config.train.mask_ap_target=$value") ;;
        --results) results=$value ;;
        --caches-cleared) cleared="by others" ;;
        --cfg | --config-file) [[ -z $config ]] || fail "two configs are given: $config and $value"; config=$value ;;
        --multi-gpu-testing | --skip-test | --skip_test | --local_rank | --profile)
            fail "$argument has no meaning here: all processes evaluate after each epoch, and MLPerf wants that; leave it out" ;;
        -*) fail "unknown argument $argument; $usage" ;;
        *) [[ -z $config ]] || fail "two configs are given: $config and $argument"; config=$argument ;;
    esac
done
for name in EXTRA_CONFIG EXTRA_PARAMS; do
    [[ -z ${!name:-} ]] || fail "$name is set, and its settings are those of another program; give --config.KEY=VALUE, unset it"
done
for name in DGXSOCKETCORES DGXNSOCKET DGXHT DGXIBDEVICES BIND_LAUNCH; do
    [[ -z ${!name:-} ]] || echo "$0: $name is not used: processes are not bound to cores, and NCCL finds the network" >&2
done

[[ -n $config ]] || fail "$usage"
train_arguments "$config" ${settings[@]+"${settings[@]}"} # only to check them; the run has arguments of its own
[[ -n $processes || -n ${HOSTS:-} ]] || processes=$(nvidia-smi -L 2>/dev/null | grep -c ^GPU || :)
if [[ -n ${HOSTS:-} ]]; then
    [[ -z $processes ]] || fail "HOSTS tells how many processes there are; leave out --processes and DGXNGPU"
elif [[ ${DGXNNODES:-1} != 1 ]]; then
    fail "DGXNNODES is $DGXNNODES; name the machines, as in HOSTS=h1:8,h2:8"
elif [[ ! $processes =~ ^[1-9][0-9]*$ ]]; then
    fail "the number of processes is '$processes', not a number above 0; give --processes=N, or DGXNGPU=N"
fi
results=${results:-runs/mlperf/$(basename -- "${config%.py}")}
mkdir -p -- "$results" || fail "--results=$results cannot be made; name another folder"
results=$(cd -- "$results" && pwd)
seed=${seed:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
[[ $seed =~ ^[0-9]+$ ]] || fail "--seed is '$seed', not a whole number"
if grep -qsE "\"key\": \"seed\", \"value\": $seed," "$results"/result_*.txt; then
    fail "a run in $results has the seed $seed already, and each must have another; give another --seed, or none"
fi
number=0
while [[ -e $results/result_$number.txt || -e $results/run_$number ]]; do number=$((number + 1)); done
log=$results/result_$number.txt

# The rules want what an earlier run left in the page cache to be gone; the line is written only if that is so.
drop=${AWSDET_DROP_CACHES:-/proc/sys/vm/drop_caches}
if [[ -z $cleared && -z ${HOSTS:-} && -w $drop ]] && sync && { echo 3 >"$drop"; } 2>/dev/null; then
    cleared=here
fi
if [[ -n $cleared ]]; then
    printf ':::MLLOG {"namespace": "", "time_ms": %s, "event_type": "POINT_IN_TIME", "key": "cache_clear", "value": true, "metadata": {"file": "scripts/run_and_time.sh", "lineno": %s}}\n' \
        "$(date +%s%3N)" "$LINENO" >"$log"
else
    echo "$0: the page caches were not cleared (that needs root, on every host), so the log lacks cache_clear and will not" \
        "comply; clear them before and give --caches-cleared" >&2
fi

arguments=("$config" "--output=$results/run_$number" "--config.seed=$seed" "--config.train.mlperf_log=$log")
[[ -z ${DGXSYSTEM:-} ]] || arguments+=("--config.train.mlperf_platform=$DGXSYSTEM")
arguments+=(${targets[@]+"${targets[@]}"} ${settings[@]+"${settings[@]}"})
start=$(date +%s) started=$(date '+%Y-%m-%d %r')
echo "STARTING TIMING RUN AT $started"
if [[ -n ${HOSTS:-} ]]; then
    "$scripts/train_ec2_cluster.sh" "$HOSTS" "${arguments[@]}" &
else
    "$scripts/train_ec2_single_node.sh" "$processes" "${arguments[@]}" &
fi
child=$! code=0 told=""
trap 'told=yes; kill -TERM "$child" 2>/dev/null || :' TERM INT # it finishes its step and saves
wait "$child" || code=$?
while [[ -n $told ]]; do # the signal has ended the wait, not the child
    told="" code=0
    wait "$child" || code=$?
done
seconds=$(($(date +%s) - start))
echo "ENDING TIMING RUN AT $(date '+%Y-%m-%d %r')"
if [[ $code = 2 ]]; then # nothing has run
    grep -qs '"run_start"' "$log" || rm -f -- "$log"
    exit 2
fi
if ! grep -qs '"status": "success"' "$log"; then
    echo "$0: no result: the target was not met, or the run was stopped (see above); the log is $log" >&2
    exit 1
fi
echo "RESULT,OBJECT_DETECTION,,$seconds,${DGXSYSTEM:-$(hostname)},$started"
echo "log: $log"
exit "$code"

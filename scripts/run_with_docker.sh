#!/usr/bin/env bash
# Runs the MLPerf Training benchmark of Mask R-CNN in containers of the image (docs/mlperf.md), one after another.
#
#   CONT=IMAGE DATADIR=DIR LOGDIR=DIR scripts/run_with_docker.sh CONFIG [arguments of run_and_time.sh …]
#
# CONFIG is a path in the image, as configs/mlperf/mask_rcnn_b96.py.
#
#   CONT=IMAGE       the image that sagemaker/Dockerfile builds
#   DATADIR=DIR      holds the records of train and val, or a folder `records` with them; /data in the container
#   LOGDIR=DIR       gets result_N.txt and run_N, N = 0, 1, …; made if it does not exist
#   NEXP=5           runs, each with a seed of its own
#   CLEAR_CACHES=0   does not clear the page cache before each run; the logs will not comply then
#   DGXNGPU=8, DGXSYSTEM=NAME   as for run_and_time.sh
#   AWSDET_CACHE=DIR keeps fetched weights; default: ~/.cache/awsdet
#   AWSDET_DROP_CACHES=FILE  where 3 is written to clear the cache, for tests; default: /proc/sys/vm/drop_caches
#
# The exit codes: 0 each run met the target, 1 one did not or was stopped, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: CONT=IMAGE DATADIR=DIR LOGDIR=DIR $0 CONFIG [arguments of run_and_time.sh …]"
fail() {
    echo "$(basename -- "$0"): $1" >&2
    exit 2
}

[[ $# -gt 0 && $1 != -* ]] || fail "$usage"
for argument in "$@"; do
    case $argument in
        --results | --results=*) fail "the results go to LOGDIR" ;;
        --seed | --seed=*) [[ ${NEXP:-5} = 1 ]] || fail "each run must have another seed; leave out --seed, or set NEXP=1" ;;
    esac
done
command -v docker >/dev/null || fail "docker is not installed; scripts/run_and_time.sh does without"
[[ -n ${CONT:-} ]] || fail "CONT is not set; name the image, as in CONT=awsdet (sagemaker/README.md builds it)"
[[ -d ${DATADIR:-} ]] || fail "DATADIR is '${DATADIR:-}', not a folder; name that of the records"
[[ -n ${LOGDIR:-} ]] || fail "LOGDIR is not set; name a folder for the results"
runs=${NEXP:-5}
[[ $runs =~ ^[1-9][0-9]*$ ]] || fail "NEXP is '$runs', not a number above 0"
records=""
for folder in "" /records; do
    if [[ -e $DATADIR$folder/train.manifest.json ]]; then records=/data$folder; fi
done
[[ -n $records || "$*" == *--config.data.train_records=* ]] ||
    fail "there are no records in $DATADIR or $DATADIR/records; make them with awsdet convert (docs/data.md)"
mkdir -p -- "$LOGDIR" || fail "LOGDIR=$LOGDIR cannot be made; name another folder"
cache=${AWSDET_CACHE:-$HOME/.cache/awsdet}
mkdir -p -- "$cache" || fail "$cache cannot be made; name another folder with AWSDET_CACHE=DIR"

# Absolute, as docker wants them.
options=(--rm --gpus all --ipc=host --network=host --ulimit memlock=-1 --ulimit stack=67108864)
options+=(-v "$(cd -- "$DATADIR" && pwd):/data:ro" -v "$(cd -- "$LOGDIR" && pwd):/results")
options+=(-v "$(cd -- "$cache" && pwd):/root/.cache/awsdet")
for name in DGXNGPU DGXSYSTEM; do
    [[ -z ${!name:-} ]] || options+=(-e "$name")
done
arguments=("$@" --results=/results)
[[ "$*" == *--config.data.train_records=* ]] || arguments+=("--config.data.train_records=$records")

# Says whether the page cache of the host is empty; a container may not write there.
clear_caches() {
    [[ ${CLEAR_CACHES:-1} != 0 ]] || return 1
    local drop=${AWSDET_DROP_CACHES:-/proc/sys/vm/drop_caches}
    sync
    if [[ -w $drop ]]; then
        { echo 3 >"$drop"; } 2>/dev/null
    else
        sudo -n sysctl -q vm.drop_caches=3 2>/dev/null
    fi
}

stopped() {
    echo "$(basename -- "$0"): stopped in run $run of $runs" >&2
    exit 1
}

worst=0 child="" told=""
trap 'told=yes; [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || :' TERM INT # docker passes it on, and the run saves
for ((run = 1; run <= runs; run++)); do
    cleared=()
    if clear_caches; then cleared=(--caches-cleared); fi
    [[ -z $told ]] || stopped
    echo "run $run of $runs"
    code=0
    docker run "${options[@]}" "$CONT" scripts/run_and_time.sh "${arguments[@]}" ${cleared[@]+"${cleared[@]}"} &
    child=$!
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do # a signal has ended the wait, not the container
        code=0
        wait "$child" || code=$?
    done
    [[ $code != 2 ]] || exit 2 # so would each other run
    [[ $code = 0 ]] || worst=1
    case $code in
        125 | 126 | 127) fail "docker could not start $CONT (see above)" ;;
    esac
    [[ -z $told ]] || stopped
done
echo "logs: $LOGDIR; score them with  awsdet mlperf check $LOGDIR"
exit "$worst"

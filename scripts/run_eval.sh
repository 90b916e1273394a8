#!/usr/bin/env bash
# Prints the COCO metrics of a checkpoint, with the arguments of MindSpore's Mask Scoring R-CNN (docs/coming_from.md).
#
#   scripts/run_eval.sh CONFIG VAL_DATA CHECKPOINT [PREDICTIONS]
#
# CHECKPOINT is an experiment, its best_ckpt or one of its checkpoints, and has its own settings: CONFIG is not used. If the file
# PREDICTIONS exists, its detections are scored and nothing is detected; otherwise the detections are written to it, in COCO's
# results format. VAL_DATA and the exit codes are as for run_standalone_train.sh.
set -euo pipefail

usage="usage: $0 CONFIG VAL_DATA CHECKPOINT [PREDICTIONS]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/mindspore.sh"
read_arguments 3 4 "" "$@"
predictions=${positional[3]:-}
[[ -e ${positional[2]} ]] || fail "CHECKPOINT ${positional[2]} does not exist; give an experiment or one of its checkpoints"
find_records VAL_DATA "${positional[1]}" val
if [[ -n $predictions && -e $predictions ]]; then
    echo "$0: scoring the detections in $predictions; remove it to have ${positional[2]} detect anew" >&2
    exec awsdet evaluate --results="$predictions" --records="$records"
fi
echo "$0: settings are those of the checkpoint; ${positional[0]} is not used" >&2
exec awsdet evaluate --checkpoint="${positional[2]}" --records="$records" ${predictions:+--output="$predictions"}

#!/usr/bin/env bash
# Finds objects in an image or in a folder of images, with the arguments of MindSpore's Mask Scoring R-CNN, and writes its JSON
# (docs/coming_from.md).
#
#   scripts/run_infer.sh CONFIG CHECKPOINT PRED_INPUT PRED_OUTPUT
#
# CHECKPOINT is an experiment, its best_ckpt or one of its checkpoints, and has its own settings: CONFIG is not used.
# The exit codes are those of awsdet predict: 0 done, 1 failed or an image could not be read, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: $0 CONFIG CHECKPOINT PRED_INPUT PRED_OUTPUT"
source "$(dirname "${BASH_SOURCE[0]}")/lib/mindspore.sh"
read_arguments 4 4 "" "$@"
echo "$0: settings are those of the checkpoint; ${positional[0]} is not used" >&2
exec awsdet predict --checkpoint="${positional[1]}" --input="${positional[2]}" --output="${positional[3]}" --format=msrcnn

#!/usr/bin/env bash
# Trains with one process, with the arguments of MindSpore's Mask Scoring R-CNN (docs/coming_from.md).
#
#   scripts/run_standalone_train.sh CONFIG TRAIN_DATA VAL_DATA TRAIN_OUT BRIEF [PRETRAINED] [--resume] [--config.KEY=VALUE …]
#
# CONFIG is a YAML file of MindSpore, which is translated, or a config of awsdet. TRAIN_DATA and VAL_DATA hold labels.json and
# data/, or records. The experiment is TRAIN_OUT/<yymmdd>_<architecture>_<BRIEF>; its best checkpoints are best_ckpt/best,
# best-2, … Records are made in data/records, or in the folder that the variable AWSDET_RECORDS names.
# The exit codes are those of awsdet: 0 done, 1 failed, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: $0 CONFIG TRAIN_DATA VAL_DATA TRAIN_OUT BRIEF [PRETRAINED] [--resume] [--config.KEY=VALUE …]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/mindspore.sh"
read_arguments 5 6 train "$@"
train 1 "${positional[@]}"

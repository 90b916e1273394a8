#!/usr/bin/env bash
# Trains with one process per GPU of this machine, with the arguments of MindSpore's Mask Scoring R-CNN (docs/coming_from.md).
#
#   scripts/run_distribute_train.sh CONFIG DEVICE_NUM TRAIN_DATA VAL_DATA TRAIN_OUT BRIEF [PRETRAINED] [--resume]
#       [--config.KEY=VALUE …]
#
# All but DEVICE_NUM, the number of processes, is as for run_standalone_train.sh.
set -euo pipefail

usage="usage: $0 CONFIG DEVICE_NUM TRAIN_DATA VAL_DATA TRAIN_OUT BRIEF [PRETRAINED] [--resume] [--config.KEY=VALUE …]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/mindspore.sh"
read_arguments 6 7 train "$@"
processes=${positional[1]}
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "DEVICE_NUM is '$processes', not a number above 0; $usage"
train "$processes" "${positional[0]}" "${positional[@]:2}"

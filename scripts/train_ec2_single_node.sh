#!/usr/bin/env bash
# Trains on one machine, with one process per GPU. Without GPUs, the processes share the cores.
#
#   scripts/train_ec2_single_node.sh PROCESSES CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]
#
# The run is written to runs/<name of the config file>, or to --output. After SIGTERM or Ctrl-C the processes finish their
# step and save a checkpoint. The exit codes are those of awsdet: 0 done, 1 failed, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: $0 PROCESSES CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/train.sh"
[[ $# -ge 2 ]] || fail "$usage"
processes=$1
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "PROCESSES is '$processes', not a number above 0; $usage"
shift
train_arguments "$@"

if [[ $processes -eq 1 ]]; then
    exec awsdet train "${arguments[@]}" --processes=1
fi
exec awsdet launch "localhost:$processes" train "${arguments[@]}"

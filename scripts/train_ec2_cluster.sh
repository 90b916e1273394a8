#!/usr/bin/env bash
# Trains on a cluster of machines, with one process per GPU. Start it on one of them, or on any machine that reaches them
# by ssh without a password.
#
#   scripts/train_ec2_cluster.sh HOSTS CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]
#
# HOSTS is a list such as h1:8,h2:8 (host:processes), or a file with one host per line. awsdet must be installed at the same
# path on each host; --output is a folder that the first host can write to; records are on a shared disk, or at the same
# path on each host. Before anything starts, all hosts are checked. AWSDET_LAUNCH_FLAGS holds further flags of awsdet
# launch, such as "--engine=mpi". The exit codes are those of awsdet: 0 done, 1 failed, 2 a mistake that the user can fix.
set -euo pipefail

usage="usage: $0 HOSTS CONFIG [--output=DIR] [--resume] [--config.KEY=VALUE …]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/train.sh"
[[ $# -ge 2 ]] || fail "$usage"
hosts=$1
shift
train_arguments "$@"
# shellcheck disable=SC2086  # a list of flags
exec awsdet launch ${AWSDET_LAUNCH_FLAGS:-} "$hosts" train "${arguments[@]}"

#!/usr/bin/env bash
# Brings COCO 2017 (images, annotations and records) to a folder; the same command goes on after an interruption.
#
#   scripts/download_coco.sh DIR [--parts=val,annotations] [--from=MIRROR] [--keep-archives] [--no-convert] [--verify]
#
# It is `awsdet download coco2017`, whose --help has all flags. Exit codes: 0 done, 1 failed, 2 a mistake to mend.
set -euo pipefail

usage="usage: $0 DIR [--parts=val,annotations] [--from=MIRROR] [--keep-archives] [--no-convert] [--verify]"
source "$(dirname "${BASH_SOURCE[0]}")/lib/train.sh"
[[ $# -ge 1 && $1 != -* ]] || fail "$usage"
command -v awsdet >/dev/null || fail "awsdet is not installed; run make setup"
exec awsdet download coco2017 "$@"

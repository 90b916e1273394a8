# Shared by the launchers in scripts/. A launcher sets `usage` and sources this file.

fail() { # $1: what is wrong
    echo "$(basename -- "$0"): $1" >&2
    exit 2
}

# Sets `arguments` to those of `awsdet train`, for a config file and what follows it.
train_arguments() {
    local config=${1:-} output argument
    [[ -n $config ]] || fail "$usage"
    [[ ! -d $config ]] || fail "config file $config is a folder; name a file in it; configs/ holds the ready ones"
    [[ -f $config ]] || fail "config file $config does not exist; configs/ holds the ready ones"
    shift
    output="--output=runs/$(basename -- "${config%.py}")"
    for argument in "$@"; do
        case $argument in
            --output | --output=*) output="" ;;
            --config.* | --resume | --resume=* | --noresume | [!-]*) ;;
            *) fail "unknown argument $argument; $usage" ;;
        esac
    done
    arguments=("--config=$config" ${output:+"$output"} "$@")
    command -v awsdet >/dev/null || fail "awsdet is not installed; run make setup"
}

# awsdet comes from the .venv that `make setup` made, or else from the PATH.
venv="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.venv/bin"
if [[ -x $venv/awsdet ]]; then
    export PATH="$venv:$PATH"
fi

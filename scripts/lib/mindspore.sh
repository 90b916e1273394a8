# Shared by the scripts that take the arguments of MindSpore's Mask Scoring R-CNN (docs/coming_from.md). A script sets `usage`,
# sources this file and calls `read_arguments`.
source "$(dirname "${BASH_SOURCE[0]}")/train.sh"

# Sets `positional` and `extra`: the arguments, and the flags that stand among them. $1, $2: fewest and most arguments; $3: train if
# --resume and --config.KEY=VALUE are allowed.
read_arguments() {
    local least=$1 most=$2 flags=$3 argument
    shift 3
    positional=() extra=()
    for argument in "$@"; do
        case $argument in
            --help | -h) echo "$usage"; exit 0 ;;
            --config.*=* | --resume)
                [[ $flags = train ]] || fail "unknown argument $argument; $usage"
                [[ $argument != --config.model.detector=* ]] ||
                    fail "$argument: the name of an experiment tells its detector; set it in CONFIG"
                extra+=("$argument") ;;
            -*) fail "unknown argument $argument; $usage" ;;
            *) positional+=("$argument") ;;
        esac
    done
    [[ ${#positional[@]} -ge $least && ${#positional[@]} -le $most ]] || fail "$usage"
    [[ -f ${positional[0]} ]] || fail "CONFIG ${positional[0]} is no file; give a YAML config of MindSpore, or one of configs/"
    command -v awsdet >/dev/null || fail "awsdet is not installed; run make setup"
}

# Sets `records` to those of a data set, which are made if needed. $1: name of the argument; $2: its value, a folder with
# labels.json and data/, or with records; $3: name of the split.
find_records() {
    local folder manifest
    for manifest in "$2"/*.manifest.json; do
        [[ ! -e $manifest ]] || { records=$2; return; }
    done
    [[ -f $2/labels.json && -d $2/data ]] || fail "$1 $2 holds neither labels.json and data/ nor records of awsdet convert"
    folder=$(cd -- "$2" && pwd)
    # The name tells data sets apart that lie in folders of one name. A second call keeps what is there.
    records=${AWSDET_RECORDS:-data/records}/$(basename -- "$folder")-$(printf %s "$folder" | cksum | cut -d' ' -f1)
    awsdet convert --annotations="$folder/labels.json" --images="$folder/data" --output="$records" --split="$3" || exit
}

# Sets `run` to the folder of an experiment, OUT/<yymmdd>_<architecture>_<BRIEF>, as MindSpore's scripts name it; with --resume,
# to the newest of this name. $1: CONFIG; $2: TRAIN_OUT; $3: BRIEF.
find_run() {
    local detector name found
    [[ -n $3 ]] || fail "BRIEF is empty; it is a part of the name of the experiment"
    [[ $3 != */* ]] || fail "BRIEF $3 has a slash; it is a part of the name of a folder"
    detector=$(awsdet config "$1" --get=model.detector) || exit
    case $detector in
        mask_scoring_rcnn) name=MSRCNN ;;
        mask_rcnn) name=MaskRCNN ;;
        faster_rcnn) name=FasterRCNN ;;
        *) name=$detector ;;
    esac
    run=$2/$(date +%y%m%d)_${name}_$3
    if [[ " ${extra[*]-} " == *" --resume "* ]]; then
        for found in "$2"/[0-9][0-9][0-9][0-9][0-9][0-9]_"${name}_$3"; do # the dates rise
            [[ ! -d $found ]] || run=$found
        done
    fi
}

# Trains and does not return. $1: processes; then CONFIG TRAIN_DATA VAL_DATA TRAIN_OUT BRIEF [PRETRAINED].
train() {
    local processes=$1 config=$2 train_records run arguments
    [[ ${7:-} != *.ckpt ]] || fail "PRETRAINED $7 is a checkpoint of MindSpore, which awsdet cannot read; leave it out, or name one of awsdet weights --list, or a file of docs/weights.md"
    find_run "$config" "$5" "$6"
    if [[ $config = *.yaml || $config = *.yml ]]; then
        awsdet config "$config" "$run/$(basename -- "${config%.*}").py" || exit
        config=$run/$(basename -- "${config%.*}").py
    fi
    find_records TRAIN_DATA "$3" train
    train_records=$records
    find_records VAL_DATA "$4" val
    mkdir -p -- "$run" || fail "TRAIN_OUT $5: $run cannot be made; name another folder"
    [[ -e $run/best_ckpt || -L $run/best_ckpt ]] || ln -s checkpoints "$run/best_ckpt"
    echo "experiment: $run"
    arguments=("--config=$config" "--output=$run" "--config.data.train_records=$train_records")
    arguments+=("--config.data.eval_records=$records" ${7:+"--config.train.init_from=$7"} ${extra[@]+"${extra[@]}"})
    if [[ $processes -eq 1 ]]; then
        exec awsdet train "${arguments[@]}" --processes=1
    fi
    exec awsdet launch "localhost:$processes" train "${arguments[@]}"
}

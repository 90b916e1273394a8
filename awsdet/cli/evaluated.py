"""What a command that evaluates a checkpoint begins with: its detector, and the records to evaluate it on."""

from awsdet.data.reader.builder import reader_options
from awsdet.data.records.class_lists import fitted
from awsdet.data.records.read import NoSuchSplit, read_manifest
from awsdet.evaluation import check_classes
from awsdet.inference import checkpoint, fast_convolutions
from awsdet.runtime.errors import UserError

_FLAG = "--split names the one to evaluate on"


def prepare(path, records, split="", batch_size=0):
    """(detector, manifest, ReaderOptions, description of the checkpoint) of a checkpoint and a split of records.

    split: empty: the checkpoint's eval_split; batch_size: images per process, 0: the checkpoint's. Raises UserError.
    """
    detector, info = checkpoint.load(path)
    fast_convolutions.use_fast_convolutions(detector)
    data = info["config"].data
    manifest = split_for(info, records, split)
    check_classes(detector.class_names, manifest, info["category_ids"])
    data.eval_batch_size = batch_size or data.eval_batch_size
    return detector, manifest, reader_options(data), f"{info['path']} (step {info['step']})"


def split_for(info, records, split="", flag=_FLAG):
    """The Manifest on which a checkpoint is evaluated; info: the dict in its checkpoint.json; flag: see `read_split`.
    Else as `prepare`."""
    manifest = read_split(records, split or info["config"]["data"]["eval_split"], flag)
    return fitted(manifest, info["class_names"], info["category_ids"])


def read_split(records, split, flag=_FLAG):
    """The Manifest of a split. Raises UserError with what to do if there is none; flag: words about the one to give."""
    try:
        return read_manifest(records, split)
    except NoSuchSplit as error:
        cure = f"; {flag}, and awsdet convert --split={split} makes it"
        holds = " (--test=0.1 beside --holdout=0.1 holds it out of one annotation file)" if split == "test" else ""
        raise UserError(f"{error}{cure}{holds}") from error

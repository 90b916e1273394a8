"""Writes a COCO data set as TFRecords: shards and a manifest that training and evaluation read.

To continue a conversion that was interrupted, give the same command again.
"""

from absl import flags

from awsdet.cli.arguments import define_max_megapixels
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet convert`."""
    flags.DEFINE_string("annotations", None, "COCO detection JSON file", flag_values=flag_values)
    flags.DEFINE_string("images", None, "folder that the file's image names are relative to", flag_values=flag_values)
    flags.DEFINE_string("output", None, "folder to write the records to", flag_values=flag_values)
    flags.DEFINE_string("split", None, "name of the split, such as train or val", flag_values=flag_values)
    flags.DEFINE_integer(
        "shards",
        0,
        "number of shards; 0: one per 150 MB",
        flag_values=flag_values,
        lower_bound=0,
    )
    flags.DEFINE_integer("workers", 0, "processes; 0: one per core", flag_values=flag_values, lower_bound=0)
    define_max_megapixels(flag_values)
    flags.DEFINE_bool("strict", False, "fail instead of leaving anything out", flag_values=flag_values)


def run(flag_values, overrides):
    """Converts, and prints what was wrong in the annotations. Returns the exit code."""
    del overrides
    for name in ("annotations", "images", "output", "split"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet convert --help)")
    from awsdet.data.coco.opening import settle_pillow
    from awsdet.data.records.convert import NothingToTrainOn, convert
    from awsdet.runtime import gpus

    settle_pillow()
    gpus.hide()  # images are decoded on the CPU
    try:
        manifest = convert(
            flag_values.annotations,
            flag_values.images,
            flag_values.output,
            flag_values.split,
            shards=flag_values.shards,
            workers=flag_values.workers,
            strict=flag_values.strict,
            max_megapixels=flag_values.max_megapixels,
        )
    except NothingToTrainOn as error:
        _print_anomalies(error.anomalies)
        raise
    _print_anomalies(manifest.anomalies)
    megabytes = sum(shard.size for shard in manifest.shards) / 1e6
    print(
        f"{manifest.split}: {manifest.num_images} images, {manifest.num_objects.sum()} objects of "
        f"{len(manifest.class_names)} classes in {len(manifest.shards)} shards ({megabytes:.1f} MB)"
        f" -> {flag_values.output}; kept {manifest.annotations.kept:,} of {manifest.annotations.in_file:,} annotations"
    )
    return 0


def _print_anomalies(anomalies):
    table = anomalies.table()
    if table:
        print(f"Found in the annotations and images:\n{table}")

"""Writes a COCO data set as TFRecords: shards and a manifest that training and evaluation read.

To continue a conversion that was interrupted, give the same command again.
"""

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet convert`."""
    define_path("annotations", None, "COCO detection JSON file", flag_values)
    define_path("images", None, "folder that the file's image names are relative to", flag_values)
    define_path("output", None, "folder to write the records to", flag_values, written=True)
    flags.DEFINE_string("split", None, "name of the split, such as train or val", flag_values=flag_values)
    flags.DEFINE_integer(
        "shards",
        0,
        "number of shards; 0: one per 150 MB",
        flag_values=flag_values,
        lower_bound=0,
    )
    flags.DEFINE_integer("workers", 0, "processes; 0: one per core", flag_values=flag_values, lower_bound=0)
    flags.DEFINE_bool("strict", False, "fail instead of leaving anything out", flag_values=flag_values)


def run(flag_values, overrides):
    """Converts, and prints what was wrong in the annotations. Returns the exit code."""
    del overrides
    for name in ("annotations", "images", "output", "split"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet convert --help)")
    from awsdet.data.records.convert import convert

    manifest = convert(
        flag_values.annotations,
        flag_values.images,
        flag_values.output,
        flag_values.split,
        shards=flag_values.shards,
        workers=flag_values.workers,
        strict=flag_values.strict,
    )
    table = manifest.anomalies.table()
    if table:
        print(f"Found in the annotations and images:\n{table}")
    megabytes = sum(shard.size for shard in manifest.shards) / 1e6
    print(
        f"{manifest.split}: {manifest.num_images} images, {manifest.num_objects.sum()} objects of "
        f"{len(manifest.class_names)} classes in {len(manifest.shards)} shards ({megabytes:.1f} MB)"
        f" -> {flag_values.output}"
    )
    return 0

"""Writes a COCO data set as TFRecords: shards and a manifest that training and evaluation read.

With --holdout, the images of one file become two splits: one to train on, and one that is held out for evaluation; with
--test too, a third one is held out for the figures to report. To continue a conversion that was interrupted, give the
same command again.
"""

from absl import flags

from awsdet.cli.arguments import define_max_megapixels, define_path
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
    flags.DEFINE_float(
        "holdout",
        None,
        "share of the images to hold out of --split, as in 0.1; copies stay together, and each class is in both splits",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "seed", None, "with --holdout: another number holds other images out; 1 if not given", flag_values=flag_values
    )
    flags.DEFINE_string(
        "holdout_split", None, "with --holdout: name of the held-out split; val if not given", flag_values=flag_values
    )
    flags.DEFINE_float(
        "test",
        None,
        "with --holdout: share of all images to hold out as a third split, test, by the same rules; the held-out split "
        "is the same with and without it",
        flag_values=flag_values,
    )
    define_max_megapixels(flag_values)
    flags.DEFINE_bool("strict", False, "fail instead of leaving anything out", flag_values=flag_values)


def run(flag_values, overrides):
    """Converts, and prints what was wrong in the annotations. Returns the exit code."""
    del overrides
    for name in ("annotations", "images", "output", "split"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet convert --help)")
    from awsdet.data.coco.opening import settle_pillow
    from awsdet.runtime import gpus

    settle_pillow()
    gpus.hide()  # images are decoded on the CPU
    options = {name: flag_values[name].value for name in ("shards", "workers", "strict", "max_megapixels")}
    places = [flag_values[name].value for name in ("annotations", "images", "output", "split")]
    if flag_values.holdout is not None:
        return _hold_out(flag_values, places, options)
    for name in ("seed", "holdout_split", "test"):
        if flag_values[name].value is not None:
            raise UserError(
                f"--{name.replace('_', '-')} has no meaning without --holdout; leave it out, or add --holdout=0.1"
            )
    from awsdet.data.records.convert import NothingToTrainOn, convert

    try:
        manifest = convert(*places, **options)
    except NothingToTrainOn as error:
        _print_anomalies(error.anomalies)
        raise
    _print_anomalies(manifest.anomalies)
    _print_split(manifest, flag_values.output)
    return 0


def _hold_out(flag_values, places, options):
    from awsdet.data.records.convert import NothingToTrainOn
    from awsdet.data.records.held_out import convert_held_out
    from awsdet.data.records.holdout import FOLDERS, Holdout

    if flag_values.test == 0:
        raise UserError("--test=0: it must lie between 0 and 1; leave it out for no test split")
    given = {"seed": flag_values.seed, "split": flag_values.holdout_split, "test": flag_values.test}
    holdout = Holdout(flag_values.holdout, **{name: value for name, value in given.items() if value is not None})
    try:
        done = convert_held_out(*places, holdout, **options)
    except NothingToTrainOn as error:
        _print_anomalies(error.anomalies)
        raise
    training, *held_out = done.manifests
    found = training.anomalies
    for manifest in held_out:
        found.merge(manifest.anomalies)
    _print_anomalies(found)
    for manifest in done.manifests:
        _print_split(manifest, flag_values.output)
    count = sum(manifest.num_images for manifest in done.manifests)
    for manifest in held_out:
        held, name = manifest.num_images, f" as {manifest.split}" if done.test else ""
        print(f"held out{name}: {held} of {count} images ({100 * held / count:.1f} %), by name, seed {holdout.seed}")
    if done.copies:
        print(
            f"kept on one side: {done.copies} image(s) that look like copies of another one (same name or same bytes)"
        )
    if done.patterns:
        names = ", ".join(done.patterns[:3]) + (", …" if len(done.patterns) > 3 else "")
        print(f"not taken for copies: files whose name is in more than {FOLDERS} folders ({names})")
    for manifest, missing in zip(done.manifests, done.absent):
        if missing:
            cure = _why_absent(manifest) if manifest is not training else "another --seed may change that"
            print(f"{manifest.split} has no object of {', '.join(missing)}: {cure}")
    return 0


def _why_absent(held_out):
    """Why a held-out split lacks classes. Files are opened only after they were divided, so some may be of no use."""
    lost = held_out.annotations.kept < held_out.annotations.in_file
    return "too few images show them" + (", or what was left out above did" if lost else "")


def _print_anomalies(anomalies):
    table = anomalies.table()
    if table:
        print(f"Found in the annotations and images:\n{table}")


def _print_split(manifest, output):
    megabytes = sum(shard.size for shard in manifest.shards) / 1e6
    print(
        f"{manifest.split}: {manifest.num_images} images, {manifest.num_objects.sum()} objects of "
        f"{len(manifest.class_names)} classes in {len(manifest.shards)} shards ({megabytes:.1f} MB) -> {output}; "
        f"kept {manifest.annotations.kept:,} of {manifest.annotations.in_file:,} annotations"
    )

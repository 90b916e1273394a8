"""Writes a data set as TFRecords: shards and a manifest that training and evaluation read.

    awsdet convert --annotations=FILE --images=DIR --split=train --output=DIR     a COCO detection file
    awsdet convert --dataset=DIR --output=DIR                                     all splits of a COCO data set
    awsdet convert --dataset=DIR --from=voc --output=DIR                          Pascal VOC, YOLO, labelme, mask images

With --dataset, splits are found by the names of folders and lists; --split takes one of them, or names the split if the
data set has none. With --holdout, the images of one split become two: one to train on, and one that is held out for
evaluation; with --test too, a third one is held out for the figures to report. To continue a conversion that was
interrupted, give the same command again.
"""

import pathlib

from absl import flags

from awsdet.cli.arguments import define_max_megapixels, define_path
from awsdet.data.formats.names import FORMATS
from awsdet.runtime.errors import UserError

_SHOWN = 8  # names of what is not used


def define(flag_values):
    """Adds the flags of `awsdet convert`."""
    define_path("annotations", None, "COCO detection JSON file", flag_values)
    define_path("images", None, "folder that the file's image names are relative to", flag_values)
    define_path("dataset", None, "folder of a data set, in place of --annotations and --images", flag_values)
    flags.DEFINE_enum(
        "from",
        None,
        list(FORMATS),
        f"with --dataset: its format, if it is not COCO's ({'; '.join(FORMATS.values())})",
        flag_values=flag_values,
    )
    define_path("classes", None, "with --from: file with the name of a class per line, in their order", flag_values)
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
    _check(flag_values)
    prepare()
    options = {name: flag_values[name].value for name in ("shards", "workers", "strict", "max_megapixels")}
    output, split = flag_values.output, flag_values.split
    if not flag_values.dataset:
        places = {split: (flag_values.annotations, flag_values.images)}
    elif flag_values["from"].value:
        places = _translated(flag_values)
    else:
        places = _found(flag_values)
    if flag_values.holdout is not None:
        if len(places) > 1:
            raise UserError(
                f"--holdout divides one split, and {flag_values.dataset} has {', '.join(places)}: choose one with "
                "--split, or leave out --holdout"
            )
        ((split, place),) = places.items()
        return _hold_out(flag_values, [*place, output, split], options)
    for split, place in places.items():
        write_split([*place, output, split], options)
    return 0


def prepare():
    """Settles how a process of a command reads images. Call it before one is read."""
    from awsdet.data.coco.opening import settle_pillow
    from awsdet.runtime import gpus

    settle_pillow()
    gpus.hide()  # images are decoded on the CPU


def write_split(places, options):
    """Converts one split and prints what was found and written.

    places: annotations, images, output and split, as `data.records.convert.convert` takes them, and its `options`.
    """
    from awsdet.data.records.convert import NothingToTrainOn, convert

    try:
        manifest = convert(*places, **options)
    except NothingToTrainOn as error:
        _print_anomalies(error.anomalies)
        raise
    _print_anomalies(manifest.anomalies)
    _print_split(manifest, places[2])


def _check(flag_values):
    """Raises UserError for flags that are missing or do not go together."""

    def given(*names):
        return [f"--{name.replace('_', '-')}" for name in names if flag_values[name].value is not None]

    if not flag_values.dataset:
        for name in ("annotations", "images", "output", "split"):
            if not flag_values[name].value:
                raise UserError(f"--{name} is missing (see awsdet convert --help)")
        for name in given("from", "classes"):
            raise UserError(f"{name} goes with --dataset=DIR, the folder of the whole data set; give that")
    else:
        if not flag_values.output:
            raise UserError("--output is missing (see awsdet convert --help)")
        wrong = given("annotations") if flag_values["from"].value else given("annotations", "images", "classes")
        for name in wrong:
            raise UserError(f"{name} does not go with --dataset={flag_values.dataset}; leave one of the two out")
    if flag_values.holdout is None:
        for name in given("seed", "holdout_split", "test"):
            raise UserError(f"{name} has no meaning without --holdout; leave it out, or add --holdout=0.1")


def _found(flag_values):
    """split -> (annotations, images) of a COCO data set, which it prints."""
    from awsdet.data import layouts

    found = layouts.find(pathlib.Path(flag_values.dataset), flag_values.split or None)
    print(f"{found.root}: {found.layout}")
    for split, place in found.splits.items():
        print(f"  {split}: {place.annotations.relative_to(found.root)}, images in {place.images}")
    if found.unused:
        more = ", …" if len(found.unused) > _SHOWN else ""
        print(f"  not used: {', '.join(found.unused[:_SHOWN])}{more}")
    return found.splits


def _translated(flag_values):
    """split -> (annotations, images) of a data set of another format, which it prints."""
    from awsdet.data.formats.reading import translate

    images, classes = (pathlib.Path(v) if (v := flag_values[name].value) else None for name in ("images", "classes"))
    form, dataset = flag_values["from"].value, pathlib.Path(flag_values.dataset)
    found = translate(form, dataset, images, classes, flag_values.split or None)
    print(f"{dataset}: {FORMATS[form].partition(':')[0]}")
    for split, one in found.items():
        sizes = [len(one.content[key]) for key in ("images", "annotations", "categories")]
        print(f"  {split}: {sizes[0]:,} images, {sizes[1]:,} objects of {sizes[2]} classes, from {one.path}")
    return {split: (one, one.images) for split, one in found.items()}


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
        print(f"held out: {held} of {count} images ({100 * held / count:.1f} %){name}, by name, seed {holdout.seed}")
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

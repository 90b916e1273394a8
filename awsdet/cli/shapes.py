"""Generates a built-in data set in COCO format.

With --style=shapes: overlapping geometric shapes in three splits: train, val (to choose checkpoints and settings on),
and test (for the figures to report). The images go to OUTPUT/images/SPLIT, the annotations to
OUTPUT/annotations/instances_SPLIT.json.

With --style=photos: a set like somebody's own photos, with one annotation file. The images go to OUTPUT/photos, the
annotations to OUTPUT/photos.json.
"""

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError

# Flag -> its value if it is not given. Those of the other style are refused.
_OWN = {
    "shapes": {"train_images": 1000, "val_images": 200, "test_images": None},
    "photos": {"images": 300, "oddities": False},
}
_IMAGE_SIZE = {"shapes": 128, "photos": 256}


def define(flag_values):
    """Adds the flags of `awsdet shapes`."""
    define_path("output", None, "folder to write the data set to", flag_values, written=True)
    flags.DEFINE_enum("style", "shapes", list(_OWN), "shapes, or photos of things", flag_values=flag_values)
    flags.DEFINE_integer(
        "train_images",
        None,
        "shapes: number of training images; 1000 if not given",
        flag_values=flag_values,
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "val_images",
        None,
        "shapes: number of images to evaluate on during training; 200 if not given",
        flag_values=flag_values,
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "test_images",
        None,
        "shapes: number of test images; as many as --val-images if not given, 0: no test split",
        flag_values=flag_values,
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "images", None, "photos: their number; 300 if not given", flag_values=flag_values, lower_bound=8
    )
    flags.DEFINE_bool(
        "oddities", None, "photos: add faults as real sets have, such as a missing file", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "image_size",
        None,
        "long side of an image, px; 128 if not given, and 256 for photos, of which it is the longest",
        flag_values=flag_values,
        lower_bound=64,
    )
    flags.DEFINE_integer("seed", 1, "the same seed gives the same bytes", flag_values=flag_values, lower_bound=0)


def run(flag_values, overrides):
    """Generates the data set. Returns the exit code."""
    del overrides
    if not flag_values.output:
        raise UserError("--output is missing (see awsdet shapes --help)")
    style = flag_values.style
    options = {"image_size": _IMAGE_SIZE[style], **_OWN[style]}
    for name in {name for flags_of in _OWN.values() for name in flags_of} | {"image_size"}:
        value = flag_values[name].value
        if value is not None and name not in options:
            raise UserError(f"--{name.replace('_', '-')} has no meaning for --style={style}; leave it out")
        options.update({name: value} if value is not None else {})
    if style == "photos":
        from awsdet.data.coco import photos

        file = photos.generate(flag_values.output, seed=flag_values.seed, **options)
        print(f"{options['images']} photos -> {file.parent / 'photos'}, their annotations -> {file}")
        return 0
    from awsdet.data.coco import shapes

    shapes.generate(flag_values.output, seed=flag_values.seed, **options)
    val = options["val_images"]
    test = val if options["test_images"] is None else options["test_images"]
    print(
        f"{options['train_images']} images to train on, {val} to evaluate on, {test} to test on -> {flag_values.output}"
    )
    return 0

"""Generates the built-in data set: overlapping geometric shapes in COCO format, with a held-out split.

The images go to OUTPUT/images/train and OUTPUT/images/val, the annotations to OUTPUT/annotations/instances_train.json
and instances_val.json.
"""

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet shapes`."""
    define_path("output", None, "folder to write the data set to", flag_values, written=True)
    flags.DEFINE_integer("train_images", 1000, "number of training images", flag_values=flag_values, lower_bound=1)
    flags.DEFINE_integer("val_images", 200, "number of held-out images", flag_values=flag_values, lower_bound=1)
    flags.DEFINE_integer("image_size", 128, "long side of an image, px", flag_values=flag_values, lower_bound=64)
    flags.DEFINE_integer("seed", 1, "the same seed gives the same bytes", flag_values=flag_values, lower_bound=0)


def run(flag_values, overrides):
    """Generates the data set. Returns the exit code."""
    del overrides
    if not flag_values.output:
        raise UserError("--output is missing (see awsdet shapes --help)")
    from awsdet.data.coco import shapes

    shapes.generate(
        flag_values.output,
        train_images=flag_values.train_images,
        val_images=flag_values.val_images,
        image_size=flag_values.image_size,
        seed=flag_values.seed,
    )
    print(f"{flag_values.train_images} images to train on, {flag_values.val_images} held out -> {flag_values.output}")
    return 0

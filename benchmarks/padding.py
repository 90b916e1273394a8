"""How many sizes the batches of an epoch have, and how much of their pixels is padding, with and without few sizes.

    python benchmarks/padding.py                      # a mixture of image sizes like COCO's, 117,266 images
    python benchmarks/padding.py --records=DIR        # your own records

It plans one epoch of the training split for 8 processes, of which one is looked at: that is what one GPU meets. No
image is read. The mixture has sizes that are common in COCO's train2017 (long sides of 640 px), with shares that are
guessed, not counted: photos of 4:3 and 3:2 in both formats, squares, and for the rest short sides from 300 to 640 px.
"""

import argparse

import numpy as np

from awsdet import config
from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.reader import plan
from awsdet.data.reader.builder import reader_options
from awsdet.data.records.manifest import AWSDET, Manifest
from awsdet.data.records.read import read_manifest

IMAGES = 117_266  # of train2017 that have objects
PROCESSES = 8
FIRST = 500  # steps
# (width, height) -> share of the images. The rest has other short sides, a quarter of it in portrait format.
SHARES = {
    (640, 480): 0.23,
    (640, 427): 0.16,
    (640, 426): 0.06,
    (640, 425): 0.06,
    (640, 428): 0.03,
    (480, 640): 0.09,
    (427, 640): 0.05,
    (426, 640): 0.02,
    (425, 640): 0.02,
    (640, 640): 0.015,
    (612, 612): 0.01,
    (500, 375): 0.03,
    (500, 333): 0.02,
    (375, 500): 0.01,
    (640, 360): 0.015,
}


def mixture(seed=0):
    """A Manifest of images that do not exist."""
    rng = np.random.default_rng(seed)
    known = rng.choice(len(SHARES) + 1, IMAGES, p=[*SHARES.values(), 1 - sum(SHARES.values())])
    width, height = np.array([*SHARES, (640, 0)])[known].T
    other = height == 0
    height[other] = rng.integers(300, 641, other.sum())
    turned = other & (rng.random(IMAGES) < 0.25)
    width[turned], height[turned] = height[turned], width[turned]
    zeros = np.zeros(IMAGES, np.int64)
    columns = {name: zeros for name in ("shard", "offset", "length")}
    sizes = {"height": height.astype(np.int32), "width": width.astype(np.int32)}
    return Manifest(
        directory=None,
        split="train",
        layout=AWSDET,
        class_names=("a",),
        category_ids=(1,),
        shards=(),
        source={},
        anomalies=Anomalies(),
        has_masks=False,
        image_id=np.arange(IMAGES),
        num_objects=np.full(IMAGES, 7, np.int32),
        **columns,
        **sizes,
    )


def measure(manifest, **changes):
    """(sizes of an epoch's batches, sizes of its first steps, share of padding) of one process."""
    settings = config.mask_rcnn().data
    settings.update(changes)
    options = reader_options(settings)
    rows = plan.train_epoch(manifest, np.arange(manifest.num_images), options, 1, 0, 0, PROCESSES)
    kinds = [len(np.unique(part, axis=0)) for part in (rows.padded, rows.padded[: FIRST * options.batch_size])]
    shown, padded = (part.astype(np.int64).prod(axis=1).sum() for part in (rows.placement.window, rows.padded))
    return (*kinds, 1 - shown / padded)


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--records", help="folder of records, instead of the mixture")
    flags.add_argument("--split", default="train")
    given = flags.parse_args()
    manifest = read_manifest(given.records, given.split) if given.records else mixture()
    print(f"{manifest.num_images} images, {PROCESSES} processes: sizes per epoch (in {FIRST} steps), padding")
    print(f"{'short sides':<16}{'padded_sizes':<14}" + "".join(f"{f'batch {size}':>18}" for size in (2, 4, 8)))
    for sides in ((800,), (640, 672, 704, 736, 768, 800)):
        for sizes in ("", "auto"):
            found = [measure(manifest, batch_size=size, padded_sizes=sizes, short_sides=sides) for size in (2, 4, 8)]
            cells = "".join(f"{f'{kinds} ({early}) {share:.1%}':>18}" for kinds, early, share in found)
            print(f"{f'{min(sides)}-{max(sides)}':<16}{sizes or 'off':<14}{cells}")


if __name__ == "__main__":
    main()

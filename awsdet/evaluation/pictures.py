"""Predictions beside ground truth for a few images of a split, as one PNG."""

import pathlib

from absl import logging

from awsdet.data.coco.categories import class_labels
from awsdet.data.reader.pipeline import eval_dataset
from awsdet.inference.annotated import annotated_objects
from awsdet.inference.drawing import detected_objects, side_by_side
from awsdet.runtime.files import written_aside

_SCORE_THRESHOLD = 0.5  # of the detections that are drawn


def draw_examples(detector, manifest, options, path, count=8):
    """Writes the picture of `examples` as a PNG. `path`: of the file; the other arguments are those of `examples`."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = examples(detector, manifest, options, count)
    with written_aside(path) as aside:
        picture.save(aside, format="PNG")
    logging.info("drew %d images beside their ground truth: %s", min(count, manifest.num_images), path)


def examples(detector, manifest, options, count=8):
    """A picture of the objects that a detector finds in the first `count` images of a split, beside the true ones.

    One process calls it.

    Args:
      detector: Detector.
      manifest: Manifest of the split.
      options: ReaderOptions.
      count: number of images; all of them if the split has fewer.

    Returns an RGB Pillow image.
    """
    rows, labels = [], class_labels(detector.class_names, manifest.category_ids)
    for batch in eval_dataset(manifest, options, rank=0, world_size=1):
        outputs = detector.detect(batch)
        sizes = batch["image_size"].numpy()  # the pictures are of the resized images, as the network sees them
        found = detector.results(outputs, sizes, sizes, _SCORE_THRESHOLD)
        rows += [_row(batch, index, found[index], labels) for index in range(len(sizes))]
        if len(rows) >= count:
            break
    return side_by_side(rows[:count])


def _row(batch, index, found, class_names):
    """(image, detected objects, true objects), all in pixels of the resized image."""
    size = batch["image_size"][index].numpy()
    image = batch["image"][index].numpy()[: size[0], : size[1]]
    return image, detected_objects(found, class_names), annotated_objects(batch, index, class_names)

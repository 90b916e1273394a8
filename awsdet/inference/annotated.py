"""What a batch of the reader holds of an image, as objects to draw."""

from awsdet.data.coco.rle import to_rle
from awsdet.inference.drawing import DrawnObject


def annotated_objects(batch, index, labels):
    """The DrawnObjects of an image of a batch, in px of the batch's image; crowds are dashed.

    Args:
      batch: a batch of the reader (see `data.reader.pipeline`).
      index: of the image in it.
      labels: what each class is called.
    """
    size = [int(side) for side in batch["image_size"][index]]
    objects = zip(
        batch["boxes"][index].numpy().tolist(),
        batch["classes"][index].numpy().tolist(),
        batch["is_crowd"][index].numpy().tolist(),
        batch["masks"]["polygons"][index].to_list(),
        batch["masks"]["rles"][index].to_list(),
    )
    return [
        DrawnObject(
            tuple(box),
            labels[label] + " (crowd)" * crowd,
            label,
            true_mask(polygons, runs, size),
            outline="dashed" if crowd else "solid",
            short=f"class {label}" + " (crowd)" * crowd,
        )
        for box, label, crowd, polygons, runs in objects
        if label >= 0
    ]


def true_mask(polygons, runs, size):
    """COCO RLE of an object: from its polygons (x, y, x, y, … per part) or its runs; None if it has neither."""
    if not polygons and not runs:
        return None
    return to_rle(polygons or {"size": size, "counts": runs}, size)

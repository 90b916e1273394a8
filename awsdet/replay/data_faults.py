"""What is odd about the data of a batch, in words: nothing here needs a detector."""

import numpy as np

_SLACK = 1.0  # px by which a box may reach out of its image


def data_faults(batch, image_ids, num_classes: int) -> list[str]:
    """A line per fault of a batch (see docs/data.md).

    Args:
        batch: the batch. image_ids: how its images are named, a list of B strings.
        num_classes: C; classes are 0 … C - 1, and -1 is padding.
    """
    lines = []
    boxes, classes = batch["boxes"].numpy(), batch["classes"].numpy()
    for index, name in enumerate(image_ids):
        size = batch["image_size"][index].numpy()
        found = _faults(batch, index, size, boxes[index], classes[index], num_classes)
        lines += [f"image {name}: {fault}" for fault in found]
    return lines


def _faults(batch, index, size, boxes, classes, num_classes):
    height, width = (int(side) for side in size)
    there = classes != -1
    for label in sorted({int(one) for one in classes[there] if not 0 <= one < num_classes}):
        yield f"class {label} is none of the {num_classes} classes"
    for box in boxes[there]:
        text = f"box ({', '.join(f'{value:g}' for value in box)})"
        if not np.isfinite(box).all():
            yield f"{text} is not finite"
        elif box[2] <= box[0] or box[3] <= box[1]:
            yield f"{text} has no area"
        elif box[0] < -_SLACK or box[1] < -_SLACK or box[2] > width + _SLACK or box[3] > height + _SLACK:
            yield f"{text} reaches out of the image of {width} x {height} px"
    pixels = batch["image"][index].numpy()[:height, :width]
    if pixels.size and pixels.min() == pixels.max():
        yield f"all its pixels are {int(pixels.min())}"
    polygons = batch["masks"]["polygons"][index] if "masks" in batch else None
    if polygons is not None and not np.isfinite(polygons.flat_values.numpy()).all():
        yield "its polygons have coordinates that are not finite"

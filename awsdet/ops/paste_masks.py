"""Pastes mask probabilities into images as COCO run-length codes, by the compiled operator.

`awsdet.ops.reference.paste_masks` states the rule and holds the same in NumPy. The operator works in the block of image
pixels that a mask can touch, on the CPU's worker threads, and never makes an image-sized mask.
"""

import numpy as np
import tensorflow as tf

from awsdet.ops import library


def paste_masks(probabilities, boxes, image_size, threshold=0.5):
    """Binary masks of N objects as COCO compressed RLE.

    Args:
      probabilities: float [N, M, M] (rows, columns; they may differ), one mask an object.
      boxes: float [N, 4], x1 y1 x2 y2 in pixels of the image, continuous; may reach outside it. A box without area, or
        whose width or height is not finite, has an empty mask.
      image_size: (height, width) of the image, pixels; or int [N, 2] of each mask's own image: one call then serves a
        whole batch.
      threshold: probability > 0 from which on a pixel belongs to the object.

    Returns:
      list of N dicts {"size": [height, width], "counts": bytes}, the same bytes as pasting at full size in float32 and
      `pycocotools.mask.encode`.

    Raises:
      ValueError: threshold is not above 0.
      InvalidArgumentError: shapes that do not fit, a negative image_size.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0 (pixels outside the box have probability 0), got {threshold}")
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not len(boxes):
        return []
    sizes = np.broadcast_to(np.asarray(image_size, np.int32), (len(boxes), 2))
    with tf.device("CPU:0"):
        counts = library.load().awsdet_paste_masks(
            probabilities=np.asarray(probabilities, np.float32),
            boxes=boxes,
            image_size=sizes,
            threshold=np.float32(threshold),
        )
    return [{"size": size, "counts": text} for size, text in zip(sizes.tolist(), counts.numpy())]

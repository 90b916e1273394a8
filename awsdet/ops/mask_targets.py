"""Mask targets: objects' polygons or RLE, cropped to RoIs and rasterised at M x M, by the compiled operators.

They take the ragged masks of all objects as they are, so nothing is copied for a RoI, and run on the CPU's worker
threads. `awsdet.ops.reference.mask_targets` holds the same functions in plain TensorFlow. Not differentiable.
"""

import tensorflow as tf

from awsdet.ops import library


def polygon_targets(polygons, object_index, rois, size):
    """Which target pixels' centres lie inside each RoI's object: even-odd within a part, the union of the parts.

    Args:
        polygons: RaggedTensor float32 [N, (parts), (x0 y0 x1 y1 ...)] of N objects, in image pixels.
        object_index: int32 [R], the object of each RoI.
        rois: float32 [R, 4] x1, y1, x2, y2 in image pixels.
        size: M, at least 1.

    Returns float32 [R, M, M] of 0 and 1. Objects without polygons give zeros; a part is nothing where it has fewer
    than three points, or one that is not finite in the RoI's coordinates.

    Raises InvalidArgumentError: an object_index outside 0 ... N - 1, a part with an odd number of coordinates.
    """
    return library.load().awsdet_polygon_targets(
        coordinates=polygons.flat_values,
        part_splits=tf.cast(polygons.values.row_splits, tf.int64),
        object_splits=tf.cast(polygons.row_splits, tf.int64),
        object_index=object_index,
        rois=tf.stop_gradient(rois),
        size=size,
    )


def rle_targets(rles, object_index, image_size, rois, size):
    """Samples RLE masks as mmdetection crops its bitmaps: RoIAlign (adaptive sampling, aligned) and a threshold of 0.5.

    Args:
        rles: RaggedTensor int32 [N, (runs)] of N objects, COCO column-major runs that begin with zeros.
        object_index: int32 [R], the object of each RoI.
        image_size: int32 [N, 2], height and width of each object's mask.
        rois: float32 [R, 4] x1, y1, x2, y2 in image pixels.
        size: M, at least 1.

    Returns float32 [R, M, M] of 0 and 1. Objects without runs, and RoIs that have no area or are not finite, give
    zeros.

    Raises InvalidArgumentError: an object_index outside 0 ... N - 1, runs that do not sum to height * width.
    """
    return library.load().awsdet_rle_targets(
        runs=rles.values,
        splits=tf.cast(rles.row_splits, tf.int64),
        image_size=image_size,
        object_index=object_index,
        rois=tf.stop_gradient(rois),
        size=size,
    )

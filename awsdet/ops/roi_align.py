"""RoIAlign over a feature pyramid, compiled; awsdet/ops/reference/roi_align.py is its twin in plain TensorFlow."""

import tensorflow as tf

from awsdet.ops import library

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def roi_align(pyramid, boxes, image_index, *, strides, output_size, finest_scale=56.0, sampling_ratio=0, aligned=True):
    """Pools each RoI from the level that suits its size: Feature Pyramid Networks, equation 1.

    Args:
        pyramid: list of L feature maps [B, H_l, W_l, C], finest first, all float32, float16 or bfloat16.
        boxes: float32 [R, 4] x1, y1, x2, y2 in image pixels; any values. No gradient reaches them.
        image_index: int32 [R], the image of each box.
        strides: L numbers, image pixels a feature pixel.
        output_size: P.
        finest_scale: boxes of this size (px) and up to twice it are pooled from the finest level.
        sampling_ratio: samples a bin and axis; 0: as many as the bin has feature pixels, rounded up. 256 at most.
        aligned: pixel centres lie at half-integer coordinates; False is the original Detectron rule.

    Returns [R, P, P, C] in the dtype of the pyramid, from sums in float32. Samples outside the map by more than one
    pixel count as 0, as do those of NaN; a box without samples gives zeros. The same bits on any number of threads.
    Raises ValueError or InvalidArgumentError, which name the argument, for wrong dtypes, shapes and indices.
    """
    pyramid = [tf.convert_to_tensor(features) for features in pyramid]
    boxes, image_index = tf.convert_to_tensor(boxes), tf.convert_to_tensor(image_index)
    _check(pyramid, boxes, image_index, strides)
    return library.load().awsdet_roi_align(
        pyramid=pyramid,
        boxes=boxes,
        image_index=image_index,
        strides=[float(stride) for stride in strides],
        output_size=output_size,
        finest_scale=finest_scale,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )


def _check(pyramid, boxes, image_index, strides):
    """What TensorFlow itself would refuse without naming the argument."""
    if len(pyramid) == 0 or len(strides) != len(pyramid):
        raise ValueError(f"roi_align: strides has {len(strides)} entries for a pyramid of {len(pyramid)} levels")
    for features in pyramid:
        if features.dtype not in DTYPES or features.dtype != pyramid[0].dtype:
            dtypes = [features.dtype.name for features in pyramid]
            raise ValueError(f"roi_align: pyramid must be all float32, float16 or bfloat16, but is {dtypes}")
    for name, tensor, dtype in (("boxes", boxes, tf.float32), ("image_index", image_index, tf.int32)):
        if tensor.dtype != dtype:
            raise ValueError(f"roi_align: {name} must be {dtype.name}, not {tensor.dtype.name}")


@tf.RegisterGradient("AwsdetRoiAlign")
def _gradient(op, gradient):
    """Of the pyramid; boxes and image_index have none."""
    levels = op.get_attr("num_levels")
    attributes = ("strides", "output_size", "finest_scale", "sampling_ratio", "aligned")
    pyramid = library.load().awsdet_roi_align_grad(
        gradient=gradient,
        boxes=op.inputs[levels],
        image_index=op.inputs[levels + 1],
        shapes=[tf.shape(features) for features in op.inputs[:levels]],
        **{name: op.get_attr(name) for name in attributes},
    )
    for features, source in zip(pyramid, op.inputs):
        features.set_shape(source.shape)
    return [*pyramid, None, None]

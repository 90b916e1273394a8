"""Compares our operators with a reference file."""

import tensorflow as tf

from awsdet.ops.nms import nms
from awsdet.ops.roi_align import roi_align
from tests.parity.rows import Row, relative_max


def compare_ops(arrays):
    """RoIAlign forward and gradient in every variant of the file, NMS keeps."""
    features = tf.constant(arrays["roi_align/features_nchw"].transpose(0, 2, 3, 1))
    rois, stride = arrays["roi_align/rois_bxyxy"], 1.0 / float(arrays["roi_align/spatial_scale"])
    rows = []
    for key in sorted(k for k in arrays if k.endswith("/out_nchw")):
        variant = key.split("/")[1]
        aligned, sampling, size = (int("".join(filter(str.isdigit, part))) for part in variant.split("_"))
        with tf.GradientTape() as tape:
            tape.watch(features)
            ours = roi_align(
                [features],
                tf.constant(rois[:, 1:]),
                tf.constant(rois[:, 0], tf.int32),
                strides=[stride],
                output_size=size,
                sampling_ratio=sampling,
                aligned=bool(aligned),
            )
        out_gradient = arrays[f"roi_align/{variant}/grad_out_nchw"].transpose(0, 2, 3, 1)
        gradient = tf.convert_to_tensor(tape.gradient(ours, features, out_gradient))
        rows.append(Row(f"roi_align {variant}", relative_max(ours, arrays[key].transpose(0, 2, 3, 1)), 1e-5))
        theirs = arrays[f"roi_align/{variant}/grad_features_nchw"].transpose(0, 2, 3, 1)
        rows.append(Row(f"roi_align {variant} gradient", relative_max(gradient, theirs), 1e-5))
    return rows + _nms_rows(arrays)


def _nms_rows(arrays):
    boxes, scores = tf.constant(arrays["nms/boxes_xyxy"])[None], tf.constant(arrays["nms/scores"])[None]
    rows = []
    for key in sorted(k for k in arrays if k.startswith("nms/keep")):
        classes = tf.constant(arrays["nms/classes"])[None] * int("per_class" in key)
        kept = nms(
            boxes,
            scores,
            classes,
            iou_threshold=float(key.rpartition("iou")[2]),
            score_threshold=-1.0,
            max_output=len(arrays["nms/scores"]),
        )
        ours = kept.indices[0, : int(kept.count[0])].numpy().tolist()
        rows.append(Row(f"{key} differs", float(ours != arrays[key].tolist()), 0))
    return rows

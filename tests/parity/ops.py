"""Compares our operators with a reference file."""

import numpy as np
import tensorflow as tf

from awsdet.ops.nms import nms
from awsdet.ops.roi_align import roi_align
from tests.parity.rows import Row, relative_max

# The settings of the file's Soft-NMS, which it does not store: mmcv's minimum score and sigma, and the IoU threshold
# that reproduces the boxes kept by the linear method (0.3 keeps 100 fewer, 0.7 keeps 16 more).
SOFT_NMS = {"iou_threshold": 0.5, "score_threshold": 1e-3, "sigma": 0.5}


def compare_ops(arrays):
    """Compares RoIAlign, forward and gradient, in every variant of the file; NMS; Soft-NMS and its scores."""
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
    return rows + nms_rows(arrays)


def nms_rows(arrays):
    """Compares the boxes kept by NMS over all classes, by NMS per class, and by Soft-NMS."""
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
    return rows + _soft_nms_rows(arrays)


def _soft_nms_rows(arrays):
    """Compares the kept boxes and their decayed scores, without regard to classes.

    For two empty boxes the reference divides 0 by 0, so that the second gets NaN as its score. No threshold removes it
    and its rank is undefined. Our operator takes 0 as the IoU. Such boxes must be kept, but nothing else is compared.
    """
    boxes, scores = tf.constant(arrays["nms/boxes_xyxy"])[None], tf.constant(arrays["nms/scores"])[None]
    rows = []
    for method in ("linear", "gaussian"):
        theirs, their_scores = arrays[f"soft_nms/{method}_keep"], arrays[f"soft_nms/{method}_scores"]
        kept = nms(boxes, scores, method=method, max_output=len(arrays["nms/scores"]), **SOFT_NMS)
        count = int(kept.count[0])
        ours, our_scores = kept.indices[0, :count].numpy(), kept.scores[0, :count].numpy()
        lost = np.isnan(their_scores)
        known = ~np.isin(ours, theirs[lost])
        same = ours[known].tolist() == theirs[~lost].tolist() and set(ours) == set(theirs)
        error = np.abs(our_scores[known] - their_scores[~lost]).max() if same else np.inf
        note = f" (but for the order of {lost.sum()})" if lost.any() else ""
        rows.append(Row(f"soft_nms {method} keep{note} differs", float(not same), 0))
        rows.append(Row(f"soft_nms {method} scores", float(error), 1e-5))
    return rows

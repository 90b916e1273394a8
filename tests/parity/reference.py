"""A reference file (see tests/fixtures/parity): its config, weights and batch in our terms."""

import json
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.models import build
from awsdet.weights import mmdet


class Reference(NamedTuple):
    arrays: dict
    meta: dict
    detector: tf.keras.Model
    images: tf.Tensor  # normalised, float32 [B, H, W, 3]
    batch: dict


def load(path):
    """Reads one model file; everything about the model comes from its `meta` and `model_config`."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    meta, reference = json.loads(str(arrays["meta"])), json.loads(str(arrays["model_config"]))
    config = _config(reference)
    detector = build(config.model, [f"class {i}" for i in range(meta["num_classes"])])
    weights = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    mmdet.assign(detector, weights)
    images = tf.constant(arrays["image_nchw"].transpose(0, 2, 3, 1))
    return Reference(arrays, meta, detector, images, _batch(arrays))


def _config(reference):
    config = config_lib.mask_rcnn()
    model = config.model
    backbone, head = reference["backbone"], reference["roi_head"]
    rpn, rpn_train = reference["rpn_head"], reference["train_cfg"]["rpn"]
    model.detector = "mask_rcnn" if "mask_head" in head else "faster_rcnn"
    model.backbone.update(
        depth=backbone["depth"],
        style=backbone["style"],
        base_width=backbone.get("base_channels", 64),
        frozen_stages=backbone["frozen_stages"],
        norm="frozen_batch_norm" if backbone["norm_eval"] else "batch_norm",
        norm_affine_trainable=backbone["norm_cfg"]["requires_grad"],
    )
    model.fpn.channels = reference["neck"]["out_channels"]
    generator = rpn["anchor_generator"]
    model.anchors.update(scales=tuple(map(float, generator["scales"])), ratios=tuple(generator["ratios"]))
    proposal, test = reference["train_cfg"]["rpn_proposal"], reference["test_cfg"]["rpn"]
    model.rpn.update(
        channels=rpn["feat_channels"],
        box_stds=tuple(rpn["bbox_coder"]["target_stds"]),
        nms_iou=proposal["nms"]["iou_threshold"],
        min_size=float(proposal["min_bbox_size"]),
        pre_nms_train=proposal["nms_pre"],
        post_nms_train=proposal["max_per_img"],
        pre_nms_test=test["nms_pre"],
        post_nms_test=test["max_per_img"],
        **_loss(rpn),
        **_sampling(rpn_train),
    )
    box, rcnn_test = head["bbox_head"], reference["test_cfg"]["rcnn"]
    model.box_head.update(
        channels=box["fc_out_channels"],
        class_agnostic=box["reg_class_agnostic"],
        pool_size=box["roi_feat_size"],
        sampling_ratio=head["bbox_roi_extractor"]["roi_layer"]["sampling_ratio"],
        box_stds=tuple(box["bbox_coder"]["target_stds"]),
        score_threshold=rcnn_test["score_thr"],
        nms_iou=rcnn_test["nms"]["iou_threshold"],
        max_detections=rcnn_test["max_per_img"],
        **_loss(box),
        **_sampling(reference["train_cfg"]["rcnn"]),
    )
    if "mask_head" in head:
        mask = head["mask_head"]
        model.mask_head.update(
            convs=mask["num_convs"],
            channels=mask["conv_out_channels"],
            pool_size=head["mask_roi_extractor"]["roi_layer"]["output_size"],
            sampling_ratio=head["mask_roi_extractor"]["roi_layer"]["sampling_ratio"],
            loss_weight=mask["loss_mask"]["loss_weight"],
            threshold=rcnn_test["mask_thr_binary"],
        )
    return config


def _loss(head):
    box = head["loss_bbox"]
    return {
        "class_loss_weight": head["loss_cls"]["loss_weight"],
        "box_loss_weight": box["loss_weight"],
        "box_loss": {"L1Loss": "l1", "SmoothL1Loss": "smooth_l1"}[box["type"]],
        "smooth_l1_beta": box.get("beta", 1.0),
    }


def _sampling(train):
    assigner, sampler = train["assigner"], train["sampler"]
    return {
        "positive_iou": assigner["pos_iou_thr"],
        "negative_iou": assigner["neg_iou_thr"],
        "min_positive_iou": assigner["min_pos_iou"],
        "low_quality_matches": assigner["match_low_quality"],
        "ignore_iof": float(assigner["ignore_iof_thr"]),
        "sample_size": sampler["num"],
        "positive_fraction": sampler["pos_fraction"],
    }


def _batch(arrays):
    size = arrays["image_size_hw"].astype(np.int32)
    count = len(size)
    boxes = [arrays[f"gt/{i}/boxes_xyxy"] for i in range(count)]
    labels = [arrays[f"gt/{i}/labels"] for i in range(count)]
    slots = max(len(b) for b in boxes)
    return {
        "image_size": tf.constant(size),
        "image_id": tf.range(count, dtype=tf.int64),
        "boxes": tf.constant([np.pad(b, [(0, slots - len(b)), (0, 0)]) for b in boxes]),
        "classes": tf.constant([np.pad(c, (0, slots - len(c)), constant_values=-1) for c in labels], tf.int32),
        "is_crowd": tf.zeros([count, slots], tf.bool),
        "masks": polygon_masks(arrays, count),
    }


def polygon_masks(arrays, count):
    """The batch's `masks` with every object as its polygons (one part each) and no RLE."""
    coordinates = [arrays[f"gt/{i}/polygon_xy"] for i in range(count)]
    lengths = [arrays[f"gt/{i}/polygon_lengths"] for i in range(count)]
    objects = [len(part) for part in lengths]
    flat = tf.constant(np.concatenate(coordinates))
    parts = tf.RaggedTensor.from_row_lengths(flat, _per_part(coordinates, lengths))
    polygons = tf.RaggedTensor.from_row_lengths(parts, np.ones(sum(objects), np.int64))
    return {
        "polygons": tf.RaggedTensor.from_row_lengths(polygons, objects),
        "rles": _ragged_rows([np.zeros(0, np.int32)] * sum(objects), objects),
    }


def bitmap_masks(arrays, count):
    """The batch's `masks` with every object as the RLE of its bitmap and no polygons."""
    rows, objects = [], []
    for image in range(count):
        height, width = arrays["image_size_hw"][image]
        bitmaps = arrays[f"gt/{image}/bitmaps"][:, :height, :width]
        objects.append(len(bitmaps))
        rows += [_runs(bitmap) for bitmap in bitmaps]
    empty = tf.RaggedTensor.from_row_lengths(tf.zeros([0]), np.zeros(0, np.int64))
    empty = tf.RaggedTensor.from_row_lengths(empty, np.zeros(sum(objects), np.int64))
    return {"polygons": tf.RaggedTensor.from_row_lengths(empty, objects), "rles": _ragged_rows(rows, objects)}


def _per_part(coordinates, lengths):
    """Polygon lengths in coordinates; the files count either coordinates or points, which their total tells."""
    lengths = np.concatenate(lengths).astype(np.int64)
    return lengths * (sum(map(len, coordinates)) // lengths.sum())


def _ragged_rows(rows, objects):
    flat = tf.constant(np.concatenate([*rows, np.zeros(0, np.int32)]).astype(np.int32))
    ragged = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])
    return tf.RaggedTensor.from_row_lengths(ragged, objects)


def _runs(bitmap):
    flat = bitmap.T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).astype(np.int32)
    return np.diff(np.concatenate([[0], edges, [flat.size]])).astype(np.int32)

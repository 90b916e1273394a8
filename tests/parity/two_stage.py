"""Faster, Mask and Mask Scoring R-CNN: the reference's config translated into ours, and the comparisons."""

import numpy as np
from pycocotools import mask as coco_mask

from awsdet import config as config_lib
from awsdet.models.two_stage import ROI_STRIDES, STRIDES
from awsdet.ops.paste_masks import paste_masks
from tests.parity import parts
from tests.parity.pairs import SCORE_TOLERANCE, pair_boxes, ranked_rows
from tests.parity.rows import Row, head_rows

_LOSSES = {
    "rpn_class_loss": "loss_rpn_cls",
    "rpn_box_loss": "loss_rpn_bbox",
    "class_loss": "loss_cls",
    "box_loss": "loss_bbox",
    "mask_loss": "loss_mask",
    "mask_iou_loss": "loss_mask_iou",
}


def config(options):
    """Our config for a `model_config`, which is given as Options."""
    head, train, test = (options.section(name) for name in ("roi_head", "train_cfg", "test_cfg"))
    config = common_config(options)
    model, rcnn = config.model, train.section("rcnn")
    model.detector = "mask_rcnn" if "mask_head" in head else "faster_rcnn"
    model.box_head.update(
        **box_head_settings(head.section("bbox_head")),
        **pooling_settings(head.section("bbox_roi_extractor")),
        **sampling_settings(rcnn),
        **detection_settings(test.section("rcnn")),
    )
    if "mask_head" in head:
        model.mask_head.update(
            **mask_head_settings(head.section("mask_head")),
            **pooling_settings(head.section("mask_roi_extractor")),
        )
        set_mask_sizes(model, [rcnn], test.section("rcnn"))
    if "mask_iou_head" in head:
        model.detector = "mask_scoring_rcnn"
        model.mask_iou_head.update(_mask_iou_head(head.section("mask_iou_head"), model.mask_head.pool_size))
        # The reference compares logits with this number, which is meant for probabilities.
        model.mask_iou_head.logit_threshold = float(rcnn.get("mask_thr_binary"))
    return config


def common_config(options):
    """A config with backbone, neck and RPN. Also marks the options of the RoI head that do not matter."""
    config = config_lib.mask_rcnn()
    model = config.model
    options.section("roi_head").skip("type", "train_cfg", "test_cfg", "init_cfg")  # the two are copies of the model's
    model.backbone.update(parts.backbone(options.section("backbone")))
    model.fpn.update(parts.fpn(options.section("neck"), 0, len(STRIDES)))
    model.anchors.update(parts.anchors(options.section("rpn_head"), STRIDES))
    model.rpn.update(_rpn(options.section("rpn_head"), options.section("train_cfg"), options.section("test_cfg")))
    return config


def sampling_settings(options):
    """From a `train_cfg.rcnn`: the settings of config.model.box_head that choose the RoIs to train on."""
    parts.training(options)
    options.skip("mask_thr_binary", "mask_size")  # of masks, see set_mask_sizes
    return {**parts.assigner(options), **parts.sampler(options, add_ground_truth=True)}


def detection_settings(options):
    """From `test_cfg.rcnn`: the settings of config.model.box_head that choose the detections."""
    options.skip("mask_thr_binary")
    return {
        "score_threshold": float(options.get("score_thr")),
        **parts.final_nms(options),
        "max_detections": options.get("max_per_img"),
    }


def set_mask_sizes(model, rcnn, test):
    """Sets the threshold of masks from `test_cfg.rcnn`. Checks their size in each `train_cfg.rcnn` of `rcnn`."""
    model.mask_head.threshold = float(test.get("mask_thr_binary"))
    for stage in rcnn:
        if stage.get("mask_size", 28) != 2 * model.mask_head.pool_size:
            raise ValueError(f"mask_size is {stage.get('mask_size')}; ours is twice the mask head's pool size")


def _rpn(options, train, test):
    options.one_of("type", "RPNHead")
    options.one_of("num_classes", 1)
    options.skip("in_channels", "init_cfg", "train_cfg", "test_cfg")
    rule, proposal, test = train.section("rpn"), train.section("rpn_proposal"), test.section("rpn")
    parts.training(rule)
    ious, least = {parts.hard_nms(proposal), parts.hard_nms(test)}, {s.get("min_bbox_size") for s in (proposal, test)}
    if len(ious) > 1 or len(least) > 1:
        raise ValueError(f"the RPN has NMS at {ious} and least sizes {least} in training and test; ours has one each")
    return {
        "convs": options.get("num_convs", 1),
        "channels": options.get("feat_channels", 256),
        "box_stds": parts.box_stds(options),
        "nms_iou": ious.pop(),
        "min_size": float(least.pop()),
        "pre_nms_train": proposal.get("nms_pre"),
        "post_nms_train": proposal.get("max_per_img"),
        "pre_nms_test": test.get("nms_pre"),
        "post_nms_test": test.get("max_per_img"),
        "allowed_border": float(rule.get("allowed_border", -1)),
        "class_loss_weight": parts.cross_entropy(options, "loss_cls", use_sigmoid=True),
        **parts.box_loss(options),
        **parts.assigner(rule),
        **parts.sampler(rule, add_ground_truth=False),
    }


def box_head_settings(options):
    """From a `bbox_head`: the network, coder and losses of config.model.box_head."""
    convs = {}
    if options.one_of("type", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead") == "Shared4Conv1FCBBoxHead":
        options.one_of("conv_cfg", None)
        convs = {"convs": 4, "conv_channels": options.get("conv_out_channels", 256), "norm": parts.head_norm(options)}
    for name in ("with_avg_pool", "predict_box_type"):
        options.one_of(name, {"with_avg_pool": False, "predict_box_type": "box"}[name])
    options.skip("in_channels", "num_classes", "roi_feat_size", "init_cfg")
    return {
        "channels": options.get("fc_out_channels", 1024),
        "class_agnostic": options.get("reg_class_agnostic", False),
        "box_stds": parts.box_stds(options),
        "class_loss_weight": parts.cross_entropy(options, "loss_cls"),
        **convs,
        **parts.box_loss(options),
    }


def pooling_settings(options):
    """From a `…_roi_extractor`: pool_size, sampling_ratio."""
    options.one_of("type", "SingleRoIExtractor")
    options.one_of("featmap_strides", list(ROI_STRIDES))
    options.one_of("finest_scale", 56)
    options.skip("out_channels", "init_cfg")
    layer = options.section("roi_layer")
    layer.one_of("type", "RoIAlign")
    layer.one_of("aligned", True)
    layer.one_of("pool_mode", "avg")
    layer.skip("use_torchvision")
    return {"pool_size": layer.get("output_size"), "sampling_ratio": layer.get("sampling_ratio", 0)}


def mask_head_settings(options):
    """From a `mask_head`: the network and loss of config.model.mask_head."""
    options.one_of("type", "FCNMaskHead")
    options.one_of("conv_kernel_size", 3)
    options.one_of("conv_cfg", None)
    upsample = options.section("upsample_cfg")
    upsample.one_of("type", "deconv")
    upsample.one_of("scale_factor", 2)
    options.skip("in_channels", "num_classes", "roi_feat_size", "predictor_cfg", "init_cfg")
    return {
        "convs": options.get("num_convs", 4),
        "channels": options.get("conv_out_channels", 256),
        "norm": parts.head_norm(options),
        "class_agnostic": options.get("class_agnostic", False),
        "loss_weight": parts.cross_entropy(options, "loss_mask", use_mask=True),
    }


def _mask_iou_head(options, pool_size):
    options.one_of("type", "MaskIoUHead")
    options.one_of("roi_feat_size", pool_size)
    options.skip("in_channels", "num_classes", "init_cfg")
    loss = options.section("loss_iou")
    loss.one_of("type", "MSELoss")
    loss.one_of("reduction", "mean")
    return {
        "convs": options.get("num_convs", 4),
        "channels": options.get("conv_out_channels", 256),
        "fc_layers": options.get("num_fcs", 2),
        "fc_channels": options.get("fc_out_channels", 1024),
        "loss_weight": float(loss.get("loss_weight", 0.5)),
    }


def loss_key(name):
    """The reference's name of our loss term."""
    return _LOSSES[name]


def forward_rows(reference, pyramid):
    """What the RPN puts out."""
    head = reference.detector.rpn.head
    output = head(head.trunk(pyramid))
    return head_rows(reference.arrays, pyramid, 2, rpn_logits=output.logits, rpn_deltas=output.deltas)


def inference_rows(reference, pyramid):
    """Compares proposals, detections and their masks."""
    detector, arrays, size = reference.detector, reference.arrays, reference.batch["image_size"]
    proposals = detector.rpn.propose(pyramid, size)
    found = {key: value.numpy() for key, value in detector.detect_in_pyramid(pyramid, size).items()}
    rows = []
    for image in range(len(size)):
        key, count = f"forward/proposals/{image}", int(proposals.count[image])
        ours = (proposals.boxes[image, :count].numpy(), proposals.scores[image, :count].numpy())
        rows += ranked_rows(f"proposals {image}", ours, (arrays[f"{key}/boxes_xyxy"], arrays[f"{key}/scores"]))[0]
        more, pairs = detection_rows(reference, found, image)
        rows += more
        if f"detections/{image}/masks" in arrays:
            rows.append(_pasted(reference, found, image, pairs))
    return rows


def detection_rows(reference, found, image):
    """Compares the detections of one image. Returns rows and the pairs (our index, their index).

    If a detector also scores its masks, the reference overwrites the box scores with the mask scores, which lowers its
    box AP, but leaves the boxes in their order. In that case the mask scores are compared.
    """
    key, count = f"detections/{image}", found["count"][image]
    boxes, scores, classes = (found[name][image, :count] for name in ("boxes", "scores", "classes"))
    mask_scores = scores * found["iou_scores"][image, :count] if "iou_scores" in found else scores
    theirs = tuple(reference.arrays[f"{key}/{name}"] for name in ("boxes_xyxy", "scores", "labels"))
    if f"{key}/mask_scores" not in reference.arrays:
        return ranked_rows(f"detections {image}", (boxes, mask_scores, classes), theirs, scores)
    rows, pairs = ranked_rows(f"detections {image}", (boxes, scores, classes), theirs)
    wrong = [abs(mask_scores[mine] - reference.arrays[f"{key}/mask_scores"][index]) for mine, index in pairs]
    return [*rows, Row(f"detections {image}: mask scores", float(max(wrong, default=0.0)), SCORE_TOLERANCE)], pairs


def _pasted(reference, found, image, pairs):
    name, arrays = f"detections {image}: wrong mask pixels", reference.arrays
    if not pairs:
        return Row(name, 0.0, 1e-3)
    shape = arrays[f"detections/{image}/masks_shape"]
    theirs = np.unpackbits(arrays[f"detections/{image}/masks"], axis=-1, count=int(shape[2]))
    height, width = arrays["image_size_hw"][image]
    threshold = reference.detector.mask_threshold
    ours = paste_masks(found["masks"][image], found["boxes"][image], (height, width), threshold)
    ours = coco_mask.decode(ours).transpose(2, 0, 1)
    wrong = [np.mean(ours[mine] != theirs[index]) for mine, index in pairs]
    return Row(name, float(np.mean(wrong)), 1e-3)


def target_rows(reference, outputs):
    """The sampled RoIs of a training step and what they are to become, stage by stage."""
    return [row for k, stage in enumerate(outputs.stages) for row in _sample_rows(reference, stage.rois, k)]


def mask_target_rows(reference, outputs, source):
    """Pixels of the mask targets of all stages that differ from the reference's.

    `source` (polygons or bitmaps) is what the targets were made from.
    """
    stages, tolerance = outputs.stages, {"polygons": 1.5e-2, "bitmaps": 1e-3}[source]
    ours = [stage.mask_targets.numpy() for stage in stages]
    theirs = [reference.arrays[f"train/stage{k}/mask_targets"] for k in range(len(stages))]
    alike = all(a.shape == b.shape for a, b in zip(ours, theirs))
    wrong = float(np.mean(np.concatenate(ours) != np.concatenate(theirs))) if alike else np.inf
    return [Row(f"mask targets from {source}: wrong pixels", wrong, tolerance)]


def _sample_rows(reference, rois, stage):
    """The RoIs, labels and box targets of one stage."""
    arrays = reference.arrays
    images, key = len(rois.rois), f"train/stage{stage}"
    theirs = [arrays[f"{key}/sampled_rois/{image}/boxes_xyxy"] for image in range(images)]
    ends = np.cumsum([len(boxes) for boxes in theirs])[:-1]
    labels, deltas = (np.split(arrays[f"{key}/{name}"], ends) for name in ("roi_labels", "roi_delta_targets"))
    alone, wrong_labels, worst = 0, 0, 0.0
    for image in range(images):
        valid = rois.valid[image].numpy()
        ours = rois.rois[image].numpy()[valid]
        pairs = pair_boxes(ours, theirs[image])
        alone += len(ours) + len(theirs[image]) - 2 * len(pairs)
        for mine, index in pairs:
            wrong_labels += int(rois.labels[image, mine] != labels[image][index])
            delta = rois.deltas[image, mine].numpy() * float(rois.positive[image, mine])
            worst = max(worst, float(np.abs(delta - deltas[image][index]).max()))
    return [
        Row(f"stage {stage}: sampled RoIs without partner", alone, 0),
        Row(f"stage {stage}: RoI labels that differ", wrong_labels, 0),
        Row(f"stage {stage}: RoI box targets", worst, 1e-2),
    ]

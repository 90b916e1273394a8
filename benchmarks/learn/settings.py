"""What torchvision's program has to know of a config of ours, as a JSON-ready dict; a rule it lacks is refused.

So both systems take their numbers from one place. Needs neither TensorFlow nor PyTorch.
"""

from awsdet.runtime.errors import UserError

# Setting -> the only value for which torchvision has the same rule.
FIXED = {
    "detector": "mask_rcnn",
    "precision": "float32",
    "image.bgr": False,
    "backbone.name": "resnet",
    "backbone.depth": 50,
    "backbone.style": "pytorch",
    "backbone.groups": 1,
    "backbone.frozen_stages": -1,
    "backbone.norm": "batch_norm",
    "backbone.norm_affine_trainable": True,
    "fpn.name": "fpn",
    "fpn.norm": "batch_norm",
    "fpn.extra_convs": "none",
    "rpn.min_positive_iou": 0.0,
    "rpn.low_quality_matches": True,
    "rpn.ignore_iof": -1.0,
    "rpn.allowed_border": -1.0,
    "rpn.box_loss": "smooth_l1",
    "rpn.smooth_l1_beta": 1.0 / 9.0,
    "rpn.class_loss_weight": 1.0,
    "rpn.box_loss_weight": 1.0,
    "rpn.box_stds": (1.0, 1.0, 1.0, 1.0),
    "rpn.min_size": 0.0,
    "box_head.name": "shared",
    "box_head.convs": 0,
    "box_head.class_agnostic": False,
    "box_head.aligned": False,
    "box_head.low_quality_matches": False,
    "box_head.ignore_iof": -1.0,
    "box_head.box_loss": "smooth_l1",
    "box_head.smooth_l1_beta": 1.0 / 9.0,
    "box_head.class_loss_weight": 1.0,
    "box_head.box_loss_weight": 1.0,
    "box_head.nms_method": "hard",
    "mask_head.norm": "none",
    "mask_head.class_agnostic": False,
    "mask_head.loss_weight": 1.0,
    "mask_head.threshold": 0.5,
}
# Sample sizes with which each anchor and RoI takes part, for the proof that both networks are the same: more than there
# are, times 2 since half of a sample may be positive.
ALL_ANCHORS, ALL_ROIS = 8192, 1024
# Of the batch norms in that proof. For those of the batch, as in training, TensorFlow sums pixels one by one in
# float32, and 50 layers with random weights enlarge what that loses.
STATISTICS = ("stored", "batch")
_CANONICAL = 4  # torchvision pools RoIs of canonical_scale px from P4, four times as large as those that begin on P3


def settings_of(config, classes):
    """The settings of a config, a JSON-ready dict. `classes`: number of classes.

    Raises UserError if torchvision has no such rule.
    """
    model, data, optimizer = config.model, config.data, config.optimizer
    _check(config)
    return {
        "classes": classes,
        "short_side": data.short_sides[0],
        "long_side": data.max_long_side,
        "pad_multiple": data.pad_multiple,
        "eval_batch": data.eval_batch_size,
        "mean": [value / 255 for value in model.image.mean],
        "std": [value / 255 for value in model.image.std],
        "base_width": model.backbone.base_width,
        "fpn_channels": model.fpn.channels,
        "scales": list(model.anchors.scales),
        "ratios": list(model.anchors.ratios),
        "rpn": {
            key: model.rpn[key]
            for key in (
                "positive_iou",
                "negative_iou",
                "sample_size",
                "positive_fraction",
                "nms_iou",
                "pre_nms_train",
                "post_nms_train",
                "pre_nms_test",
                "post_nms_test",
            )
        },
        "box": {
            **{
                key: model.box_head[key]
                for key in (
                    "channels",
                    "pool_size",
                    "sampling_ratio",
                    "positive_iou",
                    "negative_iou",
                    "sample_size",
                    "positive_fraction",
                    "score_threshold",
                    "nms_iou",
                    "max_detections",
                )
            },
            "weights": [1.0 / std for std in model.box_head.box_stds],
            "canonical_scale": model.box_head.finest_scale * _CANONICAL,
        },
        "mask": {key: model.mask_head[key] for key in ("convs", "channels", "pool_size", "sampling_ratio")},
        "momentum": optimizer.momentum,
        "weight_decay": optimizer.weight_decay,
        "clip_norm": optimizer.clip_norm,
    }


def _check(config):
    model = config.model
    for key, only in FIXED.items():
        value = model
        for part in key.split("."):
            value = value[part]
        _same(f"model.{key}", value, only)
    _same("model.rpn.channels", model.rpn.channels, model.fpn.channels)
    _same("data.eval_short_side", config.data.eval_short_side, config.data.short_sides[0])
    _same("data.short_sides", len(config.data.short_sides), 1)
    _same("optimizer.name", config.optimizer.name, "sgd")
    _same("optimizer.ema_decay", config.optimizer.ema_decay, 0.0)
    _same("train.accumulate_steps", config.train.accumulate_steps, 1)


def _same(name, value, only):
    if value != only:
        raise UserError(f"{name} is {value!r}; torchvision has a rule only for {only!r}")

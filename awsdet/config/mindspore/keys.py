"""What each key of MindSpore's YAML configs means here: a rule per key.

The keys are those of the published configs of Mask Scoring R-CNN (ms_rcnn_r50_caffe_fpn_1x_coco.yaml and the like), and
of Mask R-CNN by the same authors; their meaning is that of the README and of the sources beside them.
A rule is a function (value, all values by key) -> Became, Idle or Unsupported.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Became(NamedTuple):
    """The key became `settings`, values by key of ours; note: what to know of that, or empty."""

    settings: dict[str, Any]
    note: str = ""


class Idle(NamedTuple):
    """The key changes nothing here; why."""

    why: str


class Unsupported(NamedTuple):
    """What the key asks for cannot be had here; why."""

    why: str


Rule = Callable[[Any, dict[str, Any]], Became | Idle | Unsupported]


def _becomes(setting: str, note: str = "") -> Rule:
    return lambda value, values: Became({setting: value}, note)


def _only(wanted: Any, why: str) -> Rule:
    """For a value that is fixed here."""
    words = json.dumps(wanted)
    return lambda value, values: Idle(why) if value == wanted else Unsupported(f"{why}; only {words} can be had")


def _idle(why: str) -> Rule:
    return lambda value, values: Idle(why)


def _switch(rule: Rule) -> Rule:
    """For what may be written as True, False or a number; any but 0 is on."""

    def checked(value, values):
        return rule(value, values) if isinstance(value, (bool, int, float)) else Unsupported("it must be 1 or 0")

    return checked


def _off(why: str) -> Rule:
    """For a switch, or a number, that must not be on."""
    return _switch(lambda value, values: Unsupported(why) if value else Idle("off"))


def _channels_of(key: str) -> Rule:
    """For the inputs of a part, whose number follows from another key."""

    def rule(value, values):
        given = values.get(key, 256)
        return Idle(f"follows from {key}") if value == given else Unsupported(f"{key} is {given}, and must be the same")

    return rule


# --------------------------------------------------------------------------------------------------- keys with a rule


def detector_of(values: dict[str, Any]) -> str:
    """model.detector. Files of Mask Scoring R-CNN say mask_rcnn too, and have a section more."""
    if _has_section("mask_iou_head", values):
        return "mask_scoring_rcnn"
    return "faster_rcnn" if values.get("detector") == "faster_rcnn" else "mask_rcnn"


def _has_section(name, values):
    return any(key.startswith(f"{name}.") for key in values)


def _detector(value, values):
    if value not in ("mask_rcnn", "ms_rcnn", "mask_scoring_rcnn", "faster_rcnn"):
        return Unsupported("its keys are not known; start from a config in configs/")
    if value == "faster_rcnn" and (_has_section("mask_head", values) or _has_section("mask_iou_head", values)):
        return Unsupported("the file has a section for masks too; leave out one of the two")
    if value in ("ms_rcnn", "mask_scoring_rcnn") and not _has_section("mask_iou_head", values):
        return Unsupported("the file has no mask_iou_head; add it, or say mask_rcnn")
    found = detector_of(values)
    return Became({"model.detector": found}, "the file has a mask_iou_head" if found != value else "")


def _backbone_type(value, values):
    if value != "resnet":
        return Unsupported("only resnet can be translated; configs/ has ResNeXt, ResNet-D and HRNet")
    return Became({"model.backbone.name": value})


# Backbones of which there are weights of ImageNet: (style, depth) -> their name in the catalogue of awsdet.weights.
_IMAGENET = {
    **{("pytorch", depth): f"imagenet-r{depth}" for depth in (50, 101, 152)},
    **{("caffe", depth): f"imagenet-r{depth}-caffe" for depth in (50, 101)},
}
_CKPT = "a checkpoint of MindSpore (.ckpt) cannot be read; give a run, a checkpoint or weights of awsdet weights"


def _backbone_weights(value, values):
    if values.get("pre_trained"):
        return Idle("pre_trained replaces these weights")
    if not value:
        return Became({"train.init_from": ""}, "random values")
    if not str(value).endswith(".ckpt"):
        return Became({"train.init_from": value})
    style, depth = values.get("backbone.style", "pytorch"), values.get("backbone.depth", 50)
    name = next((name for known, name in _IMAGENET.items() if known == (style, depth)), None)
    if name is None:
        return Unsupported(f"there are no weights of ImageNet for a ResNet-{depth} of style {style}; {_CKPT}")
    return Became({"train.init_from": name}, "weights of ImageNet for the same layers, since .ckpt cannot be read")


def _pre_trained(value, values):
    if not value:
        return Idle("empty")
    return Unsupported(_CKPT) if str(value).endswith(".ckpt") else Became({"train.init_from": value})


@_switch
def _norm_eval(value, values):
    return Became({"model.backbone.norm": "frozen_batch_norm" if value else "batch_norm"})


def _mask_size(value, values):
    pooled = values.get("mask_roi.roi_layer.out_size", 14)
    if isinstance(pooled, int) and value == 2 * pooled:
        return Idle("twice mask_roi.roi_layer.out_size")
    return Unsupported(f"a mask has twice the size of mask_roi.roi_layer.out_size, which is {pooled}")


def _training_mask_threshold(value, values):
    if detector_of(values) != "mask_scoring_rcnn":
        return Idle("only a mask_iou_head uses it")
    return Became({"model.mask_iou_head.logit_threshold": value})


def _optimizer(value, values):
    if str(value).lower() == "sgd":
        return Became({"optimizer.name": "sgd"})
    return Unsupported("of the two, only sgd; optimizer.name=adamw is Adam with a weight decay of its own")


def _learning_rate(value, values):
    rate = {"optimizer.learning_rate": value, "optimizer.scale_learning_rate": False}
    return Became(rate, "MindSpore does not scale it by the batch")


def _schedule(value, values):
    kind = str(value).lower()
    if kind == "multistep":
        return Became({"schedule.name": "step", "schedule.decay_factor": 0.1})
    if kind == "dynamic":
        return Became({"schedule.name": "cosine"}, "theirs ends one epoch after the run, ours with it")
    return Unsupported("only multistep and dynamic are known")


def _is_cosine(values):
    return str(values.get("lr_type", "")).lower() == "dynamic"


def _lr_steps(value, values):
    if _is_cosine(values):
        return Idle("lr_type is dynamic")
    late = values.get("accumulate_step", 1) not in (0, 1)
    note = "theirs came accumulate_step times as late, since it counted updates as batches" if late else ""
    return Became({"schedule.decay_epochs": value}, note)


def _min_lr(value, values):
    if not _is_cosine(values):
        return Idle("lr_type is not dynamic")
    try:
        return Became({"schedule.final_ratio": float(value) / float(values["lr"])})
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return Unsupported("it and lr must be numbers, lr above 0")


@_switch
def _grad_clip(value, values):
    if not value:
        return Became({"optimizer.clip_norm": 0.0})
    return Unsupported(
        "it cuts each number of the gradients, and then their norm to 1; here is only the latter: "
        "set it to 0, and add --config.optimizer.clip_norm=1 to awsdet train"
    )


def _eval_every(value, values):
    return Became({"train.evaluate_every_epochs": value}) if values.get("run_eval", 1) else Idle("run_eval is 0")


@_switch
def _run_eval(value, values):
    return Idle("on") if value else Became({"train.evaluate_every_epochs": 0})


def _device(value, values):
    if str(value).upper() in ("GPU", "CPU"):
        return Idle("TensorFlow finds the devices")
    return Unsupported("awsdet runs on CPUs and NVIDIA GPUs")


def _classes(value, values):
    count = values.get("num_classes")
    if not isinstance(value, list) or len(value) != count:
        have = f"{len(value)} names" if isinstance(value, list) else "no list"
        return Unsupported(f"num_classes is {count}, and here is {have}; correct one of them")
    return Idle("records carry the names of their classes")


def _part_of_the_images(value, values):
    if values.get("train_dataset_num") and values.get("train_dataset_divider"):
        return Unsupported("the two train on a part of the images; convert a smaller annotation file instead")
    return Idle("off")


def _side(value, values):
    sides = values.get("img_width"), values.get("img_height")
    if not all(isinstance(side, int) for side in sides):
        return Unsupported("img_width and img_height must both be there, and whole numbers")
    long, short = max(sides), min(sides)
    settings = {"data.max_long_side": long, "data.short_sides": [short], "data.eval_short_side": short}
    lying = "; they turn with the image, theirs do not" if long > short else ""
    return Became(settings, f"the sides that an image fits into{lying}")


def _save_every(value, values):
    if value == 0:
        return Became({"train.checkpoint_every_steps": 0}, "at the end of each epoch only")
    return Became({"train.checkpoint_every_steps": value, "train.log_every_steps": value})


def _keep_best(value, values):
    return Became({"train.keep_best_count": value} if value else {"train.keep_best": False})


@_switch
def _to_rgb(value, values):
    return Became({"model.image.bgr": not value})


# ------------------------------------------------------------------------------------------------------------ the table

_MODEL_ARTS = _idle("of Huawei's cloud")
_LAUNCHER = _idle("told to scripts/run_distribute_train.sh and awsdet launch")
_PLACE = _idle("told to scripts/run_standalone_train.sh and awsdet train")
_DATA = _idle("data is given as records; see below")
_ALWAYS = "it is always so"

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("data_url", "train_url", "checkpoint_url", "data_path", "output_path", "load_path"), _MODEL_ARTS),
    "enable_modelarts": _off("awsdet does not run in Huawei's cloud"),
    "enable_profiling": _off("set it to 0, and add --config.train.profile_steps=100,110 to awsdet train"),
    "train_outputs": _PLACE,
    "brief": _PLACE,
    "device_target": _device,
    "mode": _idle("training steps are always compiled"),
    "detector": _detector,
    "backbone.type": _backbone_type,
    "backbone.depth": _becomes("model.backbone.depth"),
    "backbone.pretrained": _backbone_weights,
    "backbone.frozen_stages": _becomes("model.backbone.frozen_stages"),
    "backbone.norm_eval": _norm_eval,
    "backbone.num_stages": _only(4, _ALWAYS),
    "backbone.out_indices": _only([0, 1, 2, 3], _ALWAYS),
    "backbone.style": _becomes("model.backbone.style"),
    "neck.fpn.in_channels": _only([256, 512, 1024, 2048], "those of a ResNet"),
    "neck.fpn.out_channels": _becomes("model.fpn.channels"),
    "neck.fpn.num_outs": _only(5, _ALWAYS),
    "rpn.in_channels": _channels_of("neck.fpn.out_channels"),
    "rpn.feat_channels": _becomes("model.rpn.channels"),
    "rpn.num_classes": _only(1, _ALWAYS),
    "rpn.bbox_coder.target_means": _only([0, 0, 0, 0], _ALWAYS),
    "rpn.bbox_coder.target_stds": _becomes("model.rpn.box_stds"),
    "rpn.loss_cls.loss_weight": _becomes("model.rpn.class_loss_weight"),
    "rpn.loss_bbox.loss_weight": _becomes("model.rpn.box_loss_weight"),
    "rpn.anchor_generator.scales": _becomes("model.anchors.scales"),
    "rpn.anchor_generator.ratios": _becomes("model.anchors.ratios"),
    "rpn.anchor_generator.strides": _only([4, 8, 16, 32, 64], _ALWAYS),
    "bbox_head.in_channels": _channels_of("neck.fpn.out_channels"),
    "bbox_head.fc_out_channels": _becomes("model.box_head.channels"),
    "bbox_head.roi_feat_size": _becomes("model.box_head.pool_size"),
    "bbox_head.reg_class_agnostic": _becomes("model.box_head.class_agnostic"),
    "bbox_head.bbox_coder.target_means": _only([0, 0, 0, 0], _ALWAYS),
    "bbox_head.bbox_coder.target_stds": _becomes("model.box_head.box_stds"),
    "bbox_head.loss_cls.loss_weight": _becomes("model.box_head.class_loss_weight"),
    "bbox_head.loss_bbox.loss_weight": _becomes("model.box_head.box_loss_weight"),
    "mask_head.num_convs": _becomes("model.mask_head.convs"),
    "mask_head.in_channels": _channels_of("neck.fpn.out_channels"),
    "mask_head.conv_out_channels": _becomes("model.mask_head.channels"),
    "mask_head.loss_mask.loss_weight": _becomes("model.mask_head.loss_weight"),
    "mask_iou_head.num_convs": _becomes("model.mask_iou_head.convs"),
    "mask_iou_head.num_fcs": _becomes("model.mask_iou_head.fc_layers"),
    "mask_iou_head.roi_feat_size": _becomes("model.mask_head.pool_size"),
    "mask_iou_head.in_channels": _channels_of("neck.fpn.out_channels"),
    "mask_iou_head.conv_out_channels": _becomes("model.mask_iou_head.channels"),
    "mask_iou_head.fc_out_channels": _becomes("model.mask_iou_head.fc_channels"),
    "mask_iou_head.loss_iou.loss_weight": _becomes("model.mask_iou_head.loss_weight"),
    "roi.roi_layer.out_size": _becomes("model.box_head.pool_size"),
    "roi.roi_layer.sampling_ratio": _becomes("model.box_head.sampling_ratio"),
    "mask_roi.roi_layer.out_size": _becomes("model.mask_head.pool_size"),
    "mask_roi.roi_layer.sampling_ratio": _becomes("model.mask_head.sampling_ratio"),
    **{f"{roi}.finest_scale": _becomes("model.box_head.finest_scale") for roi in ("roi", "mask_roi")},
    **{f"{roi}.roi_layer.type": _only("RoIAlign", _ALWAYS) for roi in ("roi", "mask_roi")},
    **{f"{roi}.out_channels": _channels_of("neck.fpn.out_channels") for roi in ("roi", "mask_roi")},
    **{f"{roi}.featmap_strides": _only([4, 8, 16, 32], _ALWAYS) for roi in ("roi", "mask_roi")},
    **{f"{roi}.sample_num": _idle("the size of a buffer") for roi in ("roi", "mask_roi")},
    **{
        f"train_cfg.{theirs}.{key}": _becomes(f"model.{ours}.{setting}")
        for theirs, ours in (("rpn", "rpn"), ("rcnn", "box_head"))
        for key, setting in (
            ("assigner.pos_iou_thr", "positive_iou"),
            ("assigner.neg_iou_thr", "negative_iou"),
            ("assigner.min_pos_iou", "min_positive_iou"),
            ("assigner.match_low_quality", "low_quality_matches"),
            ("sampler.num", "sample_size"),
            ("sampler.pos_fraction", "positive_fraction"),
        )
    },
    **{f"train_cfg.{part}.sampler.neg_pos_ub": _only(-1, "there is no limit") for part in ("rpn", "rcnn")},
    "train_cfg.rpn.sampler.add_gt_as_proposals": _only(False, _ALWAYS),
    "train_cfg.rcnn.sampler.add_gt_as_proposals": _only(True, _ALWAYS),
    "train_cfg.rpn_proposal.nms_pre": _becomes("model.rpn.pre_nms_train"),
    "train_cfg.rpn_proposal.max_per_img": _becomes("model.rpn.post_nms_train"),
    "train_cfg.rcnn.mask_size": _mask_size,
    "train_cfg.rcnn.mask_thr_binary": _training_mask_threshold,
    "test_cfg.rpn.nms_pre": _becomes("model.rpn.pre_nms_test"),
    "test_cfg.rpn.max_per_img": _becomes("model.rpn.post_nms_test"),
    **{f"{part}.iou_threshold": _becomes("model.rpn.nms_iou") for part in ("train_cfg.rpn_proposal", "test_cfg.rpn")},
    **{f"{part}.min_bbox_size": _becomes("model.rpn.min_size") for part in ("train_cfg.rpn_proposal", "test_cfg.rpn")},
    "test_cfg.rcnn.score_thr": _becomes("model.box_head.score_threshold"),
    "test_cfg.rcnn.iou_threshold": _becomes("model.box_head.nms_iou"),
    "test_cfg.rcnn.max_per_img": _becomes("model.box_head.max_detections"),
    "test_cfg.rcnn.mask_thr_binary": _becomes("model.mask_head.threshold"),
    "opt_type": _optimizer,
    "lr": _learning_rate,
    "min_lr": _min_lr,
    "momentum": _becomes("optimizer.momentum"),
    "weight_decay": _becomes("optimizer.weight_decay"),
    "warmup_step": _becomes("schedule.warmup_steps"),
    "warmup_ratio": _becomes("schedule.warmup_ratio"),
    "lr_steps": _lr_steps,
    "lr_type": _schedule,
    "grad_clip": _grad_clip,
    "num_gts": _idle("all objects of an image are used"),
    "batch_size": _becomes("data.batch_size"),
    "accumulate_step": _becomes("train.accumulate_steps"),
    "test_batch_size": _becomes("data.eval_batch_size"),
    "loss_scale": _idle("float32 needs none; with model.precision=mixed_float16 it finds its size by itself"),
    "epoch_size": _becomes("train.epochs"),
    "run_eval": _run_eval,
    "eval_every": _eval_every,
    "enable_graph_kernel": _idle("of MindSpore's compiler"),
    "finetune": _idle("layers per class always take over the classes that both have"),
    "datasink": _idle("batches are always fetched ahead"),
    "pre_trained": _pre_trained,
    **dict.fromkeys(("run_distribute", "device_id", "device_num", "rank_id"), _LAUNCHER),
    "num_parallel_workers": _idle("the reader takes a thread per core (data.reader_threads)"),
    "python_multiprocessing": _idle("the reader works in threads"),
    "train_dataset": _DATA,
    "val_dataset": _DATA,
    "coco_classes": _classes,
    "num_classes": _idle("records tell the number of classes; the background is not counted"),
    "train_dataset_num": _part_of_the_images,
    "train_dataset_divider": _part_of_the_images,
    "img_width": _side,
    "img_height": _side,
    "keep_ratio": _only(1, "images keep their shape"),
    "mask_divider": _idle("masks are drawn in full resolution"),
    "divider": _becomes("data.pad_multiple", note="batches are padded to their largest image, not to the sides above"),
    "img_mean": _becomes("model.image.mean"),
    "img_std": _becomes("model.image.std"),
    "to_rgb": _to_rgb,
    "flip_ratio": _becomes("data.flip_probability"),
    "expand_ratio": _off("images are not put on larger canvases; set it to 0"),
    "save_every": _save_every,
    "keep_checkpoint_max": _becomes("train.keep_last"),
    "keep_best_checkpoints_max": _keep_best,
}


def outcome(key: str, values: dict[str, Any]) -> Became | Idle | Unsupported:
    """What the value of a key means here; `values`: all values by key."""
    rule = _RULES.get(key)
    return rule(values[key], values) if rule else Unsupported("this key is in none of the published files")

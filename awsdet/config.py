"""Configuration: every setting with its default, files that change them, overrides from the command line.

A config is an `ml_collections.ConfigDict`. A config file is Python with a `get_config()` that starts from
one of the functions below (`mask_rcnn()`, …) and changes what differs; `--config.section.key=value` changes one value
more. Unknown keys and wrong types are refused. Defaults are those of mmdetection 3 (ResNet-50 FPN 1x) unless a comment
says otherwise.
"""

import ast
import difflib
import importlib.util
import json
import pathlib

from ml_collections import ConfigDict

from awsdet.errors import UserError


def mask_rcnn():
    """Mask R-CNN, ResNet-50 FPN, 1x schedule (12 epochs of batch 16). Returns a locked ConfigDict."""
    config = ConfigDict()
    config.seed = 1
    config.model = _model()
    config.data = _data()
    config.optimizer = _optimizer()
    config.schedule = _schedule()
    config.train = _train()
    return config.lock()


def faster_rcnn():
    """The same detector without the mask head. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "faster_rcnn"
    config.model.box_head.low_quality_matches = False
    return config


def retinanet():
    """RetinaNet, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "retinanet"
    config.model.fpn.extra_convs = "on_input"
    config.model.anchors.scales = (4.0, 4.0 * 2.0 ** (1 / 3), 4.0 * 2.0 ** (2 / 3))
    config.optimizer.learning_rate = 0.01
    return config


def mask_scoring_rcnn():
    """Mask Scoring R-CNN, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "mask_scoring_rcnn"
    return config


def cascade_mask_rcnn():
    """Cascade Mask R-CNN, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "cascade_mask_rcnn"
    config.model.rpn.update(allowed_border=0.0, box_loss="smooth_l1", post_nms_train=2000)
    config.model.box_head.update(class_agnostic=True, box_loss="smooth_l1", low_quality_matches=False)
    return config


def cascade_rcnn():
    """The same detector without mask heads. Returns a locked ConfigDict."""
    config = cascade_mask_rcnn()
    config.model.detector = "cascade_rcnn"
    return config


def _model():
    model = ConfigDict()
    model.detector = "mask_rcnn"  # or faster_rcnn, mask_scoring_rcnn, cascade_rcnn, cascade_mask_rcnn, retinanet
    model.precision = "float32"  # or mixed_float16, mixed_bfloat16
    model.image = ConfigDict({"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "bgr": False})
    model.backbone = ConfigDict(
        {
            "name": "resnet",  # or resnet_v1d (deep stem, average-pool shortcuts), hrnet (has no depth and style)
            "depth": 50,  # 50, 101 or 152
            "style": "pytorch",  # stride on the 3x3 convolution (also called v1b); caffe: on the first 1x1
            "base_width": 64,  # channels of the stem; stages have 4, 8, 16 and 32 times as many
            "groups": 1,  # of the 3x3 convolutions; more make a ResNeXt
            "width_per_group": 64,  # ResNeXt: channels of a group in the first stage
            "branch_width": 32,  # hrnet: channels of its finest branch
            "frozen_stages": 1,  # -1: none; 0: stem; k: stem and stages 1..k
            "norm": "frozen_batch_norm",  # statistics fixed; or batch_norm (live), sync_batch_norm, group_norm
            "norm_affine_trainable": True,  # False: gamma and beta are fixed too (Detectron)
        }
    )
    model.fpn = ConfigDict(
        {
            "name": "fpn",  # or hrfpn, HRNet's own
            "channels": 256,
            "norm": "none",  # or batch_norm, sync_batch_norm, group_norm
            # What makes the levels beyond P5: none, subsampling; convolutions of C5 (on_input), of its lateral
            # (on_lateral) or of P5 (on_output).
            "extra_convs": "none",
            "relu_before_extra_convs": False,  # before the second of them
        }
    )
    model.anchors = ConfigDict({"scales": (8.0,), "ratios": (0.5, 1.0, 2.0)})  # height / width
    model.rpn = ConfigDict(
        {
            "channels": 256,
            "positive_iou": 0.7,
            "negative_iou": 0.3,
            "min_positive_iou": 0.3,
            "low_quality_matches": True,
            # The share of an anchor or RoI that must lie in a crowd region for it to be left out of the loss. The
            # reference never leaves any out (-1); ours ignores them, since a crowd is neither an object nor
            # background.
            "ignore_iof": 0.5,
            "allowed_border": -1.0,  # px; anchors that reach further out of the image take no part; negative: all do
            "sample_size": 256,
            "positive_fraction": 0.5,
            "box_loss": "l1",  # or smooth_l1, giou
            "smooth_l1_beta": 1.0 / 9.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (1.0, 1.0, 1.0, 1.0),
            "nms_iou": 0.7,
            "min_size": 0.0,
            "pre_nms_train": 2000,  # a level
            "post_nms_train": 1000,  # an image
            "pre_nms_test": 1000,
            "post_nms_test": 1000,
        }
    )
    model.box_head = ConfigDict(
        {
            "convs": 0,  # before the dense layers: 0 makes the head with two of these, more the one with one
            "conv_channels": 256,
            "norm": "none",  # of the convolutions; or group_norm
            "channels": 1024,  # of the dense layers
            "class_agnostic": False,
            "pool_size": 7,
            "sampling_ratio": 0,  # samples a bin and axis; 0: adaptive, as many as feature pixels
            "aligned": True,
            "finest_scale": 56.0,  # RoIs of this size (px) and up to twice it are pooled from P2
            "positive_iou": 0.5,
            "negative_iou": 0.5,
            "min_positive_iou": 0.5,
            "low_quality_matches": True,
            "ignore_iof": 0.5,
            "sample_size": 512,
            "positive_fraction": 0.25,
            "box_loss": "l1",
            "smooth_l1_beta": 1.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (0.1, 0.1, 0.2, 0.2),
            "score_threshold": 0.05,
            **_suppression(),
        }
    )
    model.mask_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "norm": "none",  # of the convolutions; or group_norm
            "class_agnostic": False,
            "pool_size": 14,
            "sampling_ratio": 0,
            "loss_weight": 1.0,
            "threshold": 0.5,
        }
    )
    model.mask_iou_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "fc_layers": 2,
            "fc_channels": 1024,
            "loss_weight": 0.5,  # of the squared error of the IoU
            # A pixel counts as mask in the target IoU where its logit, not its probability, is above this. The
            # reference compares logits with 0.5; the paper's own code with 0.0, as masks are cut at test.
            "logit_threshold": 0.5,
        }
    )
    model.cascade = ConfigDict(  # of each stage; its box head is otherwise as box_head says
        {
            "ious": (0.5, 0.6, 0.7),  # from which on a RoI is positive, below which it is negative
            "box_stds": ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)),
            "loss_weights": (1.0, 0.5, 0.25),
        }
    )
    model.retina_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "positive_iou": 0.5,
            "negative_iou": 0.4,
            "min_positive_iou": 0.0,
            "low_quality_matches": True,
            "ignore_iof": 0.5,
            "focal_alpha": 0.25,
            "focal_gamma": 2.0,
            "box_loss": "l1",
            "smooth_l1_beta": 1.0 / 9.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (1.0, 1.0, 1.0, 1.0),
            # 0: losses are divided by the positives of the batch. Else by their running mean over the steps, of which
            # this share is kept at each (Detectron2: 0.9).
            "normalizer_momentum": 0.0,
            "pre_nms": 1000,  # a level, at test
            "min_size": 0.0,
            "score_threshold": 0.05,
            **_suppression(),
        }
    )
    return model


def _suppression():
    return {
        "nms_iou": 0.5,
        "nms_method": "hard",  # or linear, gaussian: Soft-NMS
        "nms_sigma": 0.5,  # of gaussian
        "nms_min_score": 1e-3,  # Soft-NMS: a box goes when its score was lowered to this
        "max_detections": 100,
    }


def _data():
    return ConfigDict(
        {
            "train_records": "",  # folder that `awsdet convert` wrote
            "train_split": "train",
            "eval_records": "",  # empty: the same folder as train_records
            "eval_split": "val",
            "batch_size": 2,  # images a process
            "eval_batch_size": 2,
            "short_sides": (800,),  # one is drawn for each image
            "max_long_side": 1333,
            "eval_short_side": 800,
            "flip_probability": 0.5,
            "pad_multiple": 32,
            "keep_empty": True,  # train on images without objects too
            "reader_threads": 0,  # 0: as many as cores
        }
    )


def _optimizer():
    return ConfigDict(
        {
            "name": "sgd",  # or novograd, lamb
            "learning_rate": 0.02,  # for base_batch images a step
            "base_batch": 16,
            "scale_learning_rate": True,  # by images a step / base_batch
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "clip_norm": 0.0,  # global norm; 0: off
            "ema_decay": 0.0,  # 0: off
        }
    )


def _schedule():
    return ConfigDict(
        {
            "name": "step",  # or cosine
            "warmup_steps": 500,
            "warmup_ratio": 0.001,
            "decay_epochs": (8, 11),
            "decay_factor": 0.1,
            "final_ratio": 0.0,  # cosine: share of the learning rate that is left at the end
        }
    )


def _train():
    return ConfigDict(
        {
            "epochs": 12,
            "max_steps": 0,  # stop after so many steps; 0: epochs decide
            "accumulate_steps": 1,
            "loss_normalizer": "process",  # or global: summed over the ranks
            "init_from": "",  # a run, a checkpoint or a file of weights (docs/weights.md): where training starts from
            "checkpoint_every_steps": 0,  # 0: at the end of each epoch only
            "keep_last": 3,
            "keep_best": True,
            "evaluate_every_epochs": 1,  # 0: never
            "log_every_steps": 50,
            "tensorboard": True,
            "pictures": 8,  # images drawn beside their ground truth at the end
            "box_ap_target": 0.0,  # stop once both are met; 0: no target
            "mask_ap_target": 0.0,
            "stall_seconds": 600,  # a rank that keeps the others waiting longer ends the job
            "deterministic": False,
        }
    )


def load(path, overrides=()):
    """Reads a config file and applies `overrides`, strings "section.key=value". Returns a locked ConfigDict.

    Raises UserError for a missing or broken file, an unknown key or a value of the wrong type.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"config file {path} does not exist; configs/ holds the ready ones")
    spec = importlib.util.spec_from_file_location("awsdet_config_file", path)
    if spec is None:
        raise UserError(f"config file {path} is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:  # the file is the user's program: whatever it raises is theirs to mend
        raise UserError(f"config file {path}: {type(error).__name__}: {_first_line(error)}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"config file {path}: get_config() returned {type(config).__name__}, not a ConfigDict")
    for override in overrides:
        apply_override(config, override)
    return config.lock()


def apply_override(config, override):
    """Sets one value of `config` from the string "section.key=value"; the value takes the type of the default."""
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--config.{key} has no value; write --config.{key}=VALUE")
    *sections, name = key.split(".")
    node = config
    for depth, section in enumerate([*sections, name]):
        if not isinstance(node, ConfigDict) or section not in node:
            raise UserError(_unknown_key(config, ".".join([*sections, name][: depth + 1]), key))
        if depth < len(sections):
            node = node[section]
    if isinstance(node[name], ConfigDict):
        raise UserError(f"--config.{key} is a section; set one of its keys: {', '.join(node[name])}")
    node[name] = _parse(key, text, node[name])


def to_json(config):
    """The config as a JSON text; `from_json` reads it back."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True)


def from_json(text):
    """A config from `to_json`'s text, checked against the known keys. Returns a locked ConfigDict."""
    config = mask_rcnn()
    try:
        _update(config, json.loads(text), "")
    except ValueError as error:
        raise UserError(f"the stored config is not valid JSON: {_first_line(error)}") from error
    return config


def _update(config, values, prefix):
    for name, value in values.items():
        if name not in config:
            raise UserError(f"the stored config has the unknown key {prefix}{name}; it comes from another version")
        if isinstance(config[name], ConfigDict):
            _update(config[name], value, f"{prefix}{name}.")
        else:
            config[name] = _tuples(value)  # JSON knows lists alone, no config has one


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _parse(key, text, default):
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind is tuple:
            value = ast.literal_eval(text if text.strip()[:1] in "([" else f"({text},)")
            item = type(default[0]) if default else str
            if item is int and any(isinstance(v, float) or isinstance(v, str) for v in value):
                raise ValueError(text)
            return tuple(item(v) for v in value)
        return kind(text)
    except (KeyError, ValueError, SyntaxError, TypeError):
        wanted = {tuple: "a tuple, as in 1,2", int: "an int"}.get(kind, f"a {kind.__name__}")
        raise UserError(f"--config.{key}={text}: expected {wanted} (the default is {default!r})") from None


def _unknown_key(config, missing, key):
    known = list(_flat_keys(config))
    leaf = key.rpartition(".")[2]
    by_initials = [k for k in known if "".join(word[0] for word in k.rpartition(".")[2].split("_")) == leaf]  # lr
    by_leaf = [k for k in known if k.rpartition(".")[2] == leaf]
    near = by_initials or by_leaf or difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown config key {missing}{hint}"


def _flat_keys(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _flat_keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _first_line(error):
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

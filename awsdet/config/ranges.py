"""The range of every setting: one line per setting of `awsdet.config.defaults`, in its order.

A setting without a line is unknown: `tests/config/test_ranges.py` looks for such. What must hold between settings is in
`relations`.
"""

import re
from typing import Any

from awsdet.config.kinds import Choice, Items, Name, Number, Switch, Text, Whole
from awsdet.config.rules import Rules

_SHARE, _FACTOR, _POSITIVE = Number(0, 1), Number(0), Number(0, above=True)
_BELOW_ONE = Number(0, 1, below=True)
_CHANNELS, _COUNT = Whole(1), Whole(1)
_PIXELS = Whole(1, 2**20)
_STDS = Items(_POSITIVE, count=4)
_POOL = Whole(1, 1024)  # of custom_ops/cuda/roi_align.h
_SAMPLING_RATIO = Whole(0, 256)
_NORM = Choice(("none", "batch_norm", "sync_batch_norm", "group_norm"))
_COLOUR = Number(0, 5, hint="; it is a share, not a percentage")  # beyond it, pictures are white, black or two-coloured
_JITTER = 10  # lengths; beyond it, hardly an object is seen in the canvas
_PATH, _SPLIT = Text("a path"), Text("a name, without a slash", lambda text: text and "/" not in text)
_WORDS = Text("a name", lambda text: text.strip())
_SIZES = r"\s*\d{1,5}x\d{1,5}\s*(,\s*\d{1,5}x\d{1,5}\s*)*"


def _losses():
    return {
        "box_loss": Choice(("l1", "smooth_l1", "giou")),
        "smooth_l1_beta": _POSITIVE,
        "class_loss_weight": _FACTOR,
        "box_loss_weight": _FACTOR,
        "box_stds": _STDS,
    }


def _matching():
    return {
        "positive_iou": _SHARE,
        "negative_iou": _SHARE,
        "min_positive_iou": _SHARE,
        "low_quality_matches": Switch(),
        "ignore_iof": Number(-1, 1),
    }


def _sampling():
    return {"sample_size": _COUNT, "positive_fraction": _SHARE}


def _suppression():
    return {
        "score_threshold": _SHARE,
        "nms_iou": _SHARE,
        "nms_method": Choice(("hard", "linear", "gaussian")),
        "nms_sigma": _POSITIVE,
        "nms_min_score": _SHARE,
        "max_detections": _COUNT,
    }


_MODEL = {
    "detector": Name(),
    "precision": Choice(("float32", "mixed_float16", "mixed_bfloat16")),
    "image": {"mean": Items(Number(), count=3), "std": Items(_POSITIVE, count=3), "bgr": Switch()},
    "backbone": {
        "name": Name(),
        "depth": Choice((14, 26, 50, 101, 152)),
        "style": Choice(("pytorch", "caffe")),
        "base_width": _CHANNELS,
        "groups": _COUNT,
        "width_per_group": _CHANNELS,
        "branch_width": _CHANNELS,
        "frozen_stages": Whole(-1, 4),
        "norm": Choice(("frozen_batch_norm", "batch_norm", "sync_batch_norm", "group_norm")),
        "norm_affine_trainable": Switch(),
    },
    "fpn": {
        "name": Name(),
        "channels": _CHANNELS,
        "norm": _NORM,
        "extra_convs": Choice(("none", "on_input", "on_lateral", "on_output")),
        "relu_before_extra_convs": Switch(),
    },
    "anchors": {"scales": Items(_POSITIVE), "ratios": Items(_POSITIVE)},
    "rpn": {
        "convs": _COUNT,
        "channels": _CHANNELS,
        **_matching(),
        "allowed_border": Number(),
        **_sampling(),
        **_losses(),
        "nms_iou": _SHARE,
        "min_size": _FACTOR,
        "pre_nms_train": _COUNT,
        "post_nms_train": _COUNT,
        "post_nms_batch": Whole(0),
        "pre_nms_test": _COUNT,
        "post_nms_test": _COUNT,
    },
    "box_head": {
        "name": Name(),
        "convs": Whole(0),
        "conv_channels": _CHANNELS,
        "norm": _NORM,
        "channels": _CHANNELS,
        "class_agnostic": Switch(),
        "pool_size": _POOL,
        "sampling_ratio": _SAMPLING_RATIO,
        "aligned": Switch(),
        "finest_scale": _POSITIVE,
        **_matching(),
        **_sampling(),
        **_losses(),
        **_suppression(),
    },
    "mask_head": {
        "convs": Whole(0),
        "channels": _CHANNELS,
        "norm": _NORM,
        "class_agnostic": Switch(),
        "pool_size": _POOL,
        "sampling_ratio": _SAMPLING_RATIO,
        "loss_weight": _FACTOR,
        "threshold": Number(0, 1, above=True, below=True),
    },
    "mask_iou_head": {
        "convs": _COUNT,  # the last one halves the features, on which the dense layers rely
        "channels": _CHANNELS,
        "fc_layers": Whole(0),
        "fc_channels": _CHANNELS,
        "loss_weight": _FACTOR,
        "logit_threshold": Number(),
    },
    "cascade": {"ious": Items(_SHARE), "box_stds": Items(_STDS), "loss_weights": Items(_FACTOR)},
    "retina_head": {
        "convs": Whole(0),
        "channels": _CHANNELS,
        **_matching(),
        "focal_alpha": _SHARE,
        "focal_gamma": _FACTOR,
        **_losses(),
        "normalizer_momentum": _BELOW_ONE,
        "pre_nms": _COUNT,
        "min_size": _FACTOR,
        **_suppression(),
    },
}
_DATA = {
    "train_records": _PATH,
    "train_split": _SPLIT,
    "eval_records": _PATH,
    "eval_split": _SPLIT,
    "batch_size": Whole(0),
    "global_batch_size": Whole(0),
    "eval_batch_size": _COUNT,
    "max_long_side": _PIXELS,
    "eval_short_side": _PIXELS,
    # 32 px is what a feature pyramid's coarsest backbone level, P5, makes one pixel of.
    "pad_multiple": Whole(32, 65504, multiple=32, hint=", as in 32, 64 or 128"),
    "padded_sizes": Text(
        "auto, or heights and widths, as in 800x1344,1344x800; empty turns it off",
        lambda text: text in ("", "auto") or re.fullmatch(_SIZES, text),
    ),
    "keep_empty": Switch(),
    "reader_threads": Whole(0, 4096),
    "flip_probability": _SHARE,
    "short_sides": Items(_PIXELS),
    "short_side_range": Items(
        Whole(0, 2**20),
        count=2,
        words="the smallest and the largest size, as in 640,800, or 0,0 to turn it off",
        fits=lambda pair: pair == (0, 0) or 1 <= pair[0] <= pair[1],
    ),
    "crop": Items(
        Number(0, 1, above=True),
        count=2,
        words="the least shares of height and width, as in 0.9,0.9, or 1,1 to turn it off",
    ),
    "crop_keeps_object": Switch(),
    "canvas": Whole(0, 65504, hint=", a side in px, as in 1024, or 0 to turn large-scale jitter off"),
    "jitter_scales": Items(
        Number(0, _JITTER, above=True),
        count=2,
        words=f"the smallest and the largest scale, at most {_JITTER}, as in 0.1,2.0",
        fits=lambda pair: pair[0] <= pair[1],
    ),
    "min_visible": _SHARE,
    "boxes_from_masks": Switch(),
    "copy_paste": _SHARE,
    "copy_paste_objects": Whole(1, 10_000),
    "brightness": _COLOUR,
    "contrast": _COLOUR,
    "saturation": _COLOUR,
    "hue": Number(0, 0.5, hint="; it is a share of the colour circle"),
}
_OPTIMIZER = {
    "name": Choice(("sgd", "adamw", "novograd", "lamb")),
    "learning_rate": _POSITIVE,
    "base_batch": _COUNT,
    "scale_learning_rate": Switch(),
    "momentum": _BELOW_ONE,
    "beta_2": _BELOW_ONE,
    "weight_decay": _FACTOR,
    "rules": Rules(),
    "layer_decay": Number(0, 1, above=True),
    "clip_norm": _FACTOR,
    "ema_decay": _BELOW_ONE,
    "compression": Choice(("none", "fp16"), (("bf16", ", since Horovod 0.28.1 cannot add bfloat16"),)),
}
_SCHEDULE = {
    "name": Name(),
    "warmup_steps": Whole(0),
    "warmup_ratio": _SHARE,
    "decay_epochs": Items(Whole(0), least=0, rising=True, words="epochs that rise, as in 8,11"),
    "decay_shares": Items(
        Number(0, 1),
        rising=True,
        words="shares that rise between 0 and 1, as in 0.67,0.92",
        fits=lambda shares: shares == (0.0,) or (shares[0] > 0 and shares[-1] < 1),
    ),
    "decay_updates": Items(
        Whole(0),
        rising=True,
        words="numbers of updates that rise, as in 12000,16000",
        fits=lambda updates: updates == (0,) or updates[0] > 0,
    ),
    "decay_factor": Number(0, 1, above=True),  # 0 would end all learning
    "final_ratio": _SHARE,
}
_TRAIN = {
    "epochs": _COUNT,
    "max_steps": Whole(0),
    "accumulate_steps": _COUNT,
    "loss_normalizer": Choice(("process", "global")),
    "init_from": _PATH,
    "allow_random_frozen": Switch(),
    "checkpoint_every_steps": Whole(0),
    "commit_every_steps": Whole(0),
    "keep_last": _COUNT,
    "keep_best": Switch(),
    "keep_best_count": _COUNT,
    "evaluate_every_epochs": Whole(0),
    "max_evaluations": Whole(0),
    "score_aside_from": Whole(0),
    "official_metric": Switch(),
    "log_every_steps": _COUNT,
    "log_metrics": Switch(),
    "tensorboard": Switch(),
    "mlflow": Text(
        "an address, as in http://host:5000 or file:/folder, without a password (MLFLOW_TRACKING_PASSWORD has it)",
        lambda text: not text or (":" in text and "@" not in text),
    ),
    "mlflow_experiment": Text("a name", str.strip),
    "profile_steps": Items(
        Whole(0),
        count=2,
        words="the first and the last step to profile, as in 100,110; 0,0 for none",
        fits=lambda steps: steps == (0, 0) or 1 <= steps[0] <= steps[1],
    ),
    "pictures": Whole(0),
    "box_ap_target": Number(0, 1, hint=", as in 0.377"),
    "mask_ap_target": Number(0, 1, hint=", as in 0.339"),
    "stall_seconds": _COUNT,
    "warm_seconds": Whole(0),
    "deterministic": Switch(),
    "mlperf_log": _PATH,
    "mlperf_org": _WORDS,
    "mlperf_platform": _WORDS,
    "mlperf_division": Choice(("closed", "open")),
    "mlperf_status": Choice(("cloud", "onprem", "preview", "research")),
}
RANGES = {
    "seed": Whole(0, 2**32 - 1),  # what NumPy takes
    "model": _MODEL,
    "data": _DATA,
    "optimizer": _OPTIMIZER,
    "schedule": _SCHEDULE,
    "train": _TRAIN,
}


def fault_of(key: str, value: Any) -> str:
    """What is wrong with a value of the setting `key`, as in "train.epochs"; "" if nothing is, or it is unknown."""
    kind = RANGES
    for part in key.split("."):
        kind = kind.get(part) if isinstance(kind, dict) else None
    what = kind.fault(value) if kind is not None else ""
    return f"{key} is {_shown(value)}; it must be {what}" if what else ""


def faults(settings: Any, key: str = "") -> list[str]:
    """What is wrong with the settings below `key` ("" for all): values out of range, missing and unknown settings.

    settings: what `key`, a section or a setting of the first level, has as its value.
    """
    kinds = RANGES[key] if key else RANGES
    if isinstance(kinds, dict):
        return list(_faults(settings, kinds, f"{key}." if key else ""))
    fault = fault_of(key, settings)
    return [fault] if fault else []


def _faults(settings, kinds, prefix):
    if not hasattr(settings, "items"):
        yield f"{prefix[:-1]} is {_shown(settings)}; it must be a section with {', '.join(kinds)}"
        return
    for name in settings:
        if name not in kinds:
            yield f"there is no setting {prefix}{name}; leave it out"
    for name, kind in kinds.items():
        if name not in settings:
            yield f"the setting {prefix}{name} is missing; start from a function of awsdet.config, such as mask_rcnn()"
        elif isinstance(kind, dict):
            yield from _faults(settings[name], kind, f"{prefix}{name}.")
        elif fault := fault_of(f"{prefix}{name}", settings[name]):
            yield fault


def _shown(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"

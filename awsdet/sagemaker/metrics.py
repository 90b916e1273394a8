"""The metrics of a job in SageMaker: the lines that the container prints and the definitions that find them.

A record of metrics.jsonl becomes one line of the log,

    awsdet_metric step=1200 loss=1.234; box_ap=0.341; mask_ap=0.311;

and each name has one metric definition, a regular expression that SageMaker runs over every line. Launchers put the
host and the rank before a line, so no expression is tied to the start of a line.
"""

import math
from decimal import Decimal

TAG = "awsdet_metric"
MOST = 40  # metric definitions that SageMaker takes
_DIGITS = 6  # significant digits of a number
_ABSENT = -1.0  # what COCO gives for the AP or AR of objects that do not exist
_AVERAGES = ("box_ap", "box_ar", "mask_ap", "mask_ar")

_STAGES = tuple(f"stage{stage}_{loss}_loss" for stage in range(3) for loss in ("class", "box", "mask"))
_SCORES = tuple(
    f"{kind}_{score}"
    for kind in ("box", "mask")
    for score in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
)
# Fields of metrics.jsonl. A detector prints those that it has; a definition that finds nothing costs nothing.
NAMES = (
    *("loss", "rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss", "mask_iou_loss"),
    *_STAGES,
    *("rpn_recall", "accuracy", "foreground_accuracy", "mask_accuracy"),
    *("epoch", "learning_rate", "gradient_norm", "images_per_second", "data_wait", "memory_mb"),
    *_SCORES,
)


def line(record):
    """A record of metrics.jsonl (dict with "step") as a line for SageMaker, without a line break.

    Leaves out what is no number, not finite, or the AP or AR of objects that do not exist (-1). Returns "" if nothing
    is left. Numbers are plain decimals with six significant digits: SageMaker reads no exponents.
    """
    terms = [
        f"{name}={_decimal(value)};" for name, value in record.items() if name != "step" and _is_metric(name, value)
    ]
    return f"{TAG} step={int(record['step'])} {' '.join(terms)}" if terms else ""


def definitions(names=NAMES):
    """The MetricDefinitions of a request: a list of {"Name", "Regex"}.

    Raises ValueError for more names than SageMaker takes, or for a name that is there twice.
    """
    if len(names) > MOST:
        raise ValueError(f"{len(names)} metrics, but SageMaker takes at most {MOST}")
    if len(set(names)) != len(names):
        raise ValueError("two metrics have the same name")
    return [{"Name": name, "Regex": rf"{TAG} step=[0-9]+.* {name}=(-?[0-9.]+);"} for name in names]


def _is_metric(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return not (value == _ABSENT and name.startswith(_AVERAGES))


def _decimal(value):
    return f"{Decimal(f'{value:.{_DIGITS}g}'):f}"

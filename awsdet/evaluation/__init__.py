"""Evaluates a detector: COCO metrics, and pictures of what it finds.

Each name is loaded when it is first used, so that a process that only scores does without TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awsdet.evaluation.coco_metric import coco_metrics
    from awsdet.evaluation.evaluator import check_classes, detect, evaluate, score_on_chief, truth_of
    from awsdet.evaluation.pictures import draw_examples, examples
    from awsdet.evaluation.table import format_steps, format_table

__all__ = [
    "check_classes",
    "coco_metrics",
    "detect",
    "draw_examples",
    "evaluate",
    "examples",
    "format_steps",
    "format_table",
    "score_on_chief",
    "truth_of",
]

# Name -> the module that it is in.
_PLACES = {
    "check_classes": "awsdet.evaluation.evaluator",
    "coco_metrics": "awsdet.evaluation.coco_metric",
    "detect": "awsdet.evaluation.evaluator",
    "draw_examples": "awsdet.evaluation.pictures",
    "evaluate": "awsdet.evaluation.evaluator",
    "examples": "awsdet.evaluation.pictures",
    "format_steps": "awsdet.evaluation.table",
    "format_table": "awsdet.evaluation.table",
    "score_on_chief": "awsdet.evaluation.evaluator",
    "truth_of": "awsdet.evaluation.evaluator",
}


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module 'awsdet.evaluation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value

"""Evaluates a detector: COCO metrics, and pictures of what it finds."""

from awsdet.evaluation.coco_metric import coco_metrics
from awsdet.evaluation.evaluator import check_classes, evaluate
from awsdet.evaluation.pictures import draw_examples, examples
from awsdet.evaluation.table import format_table

__all__ = ["check_classes", "coco_metrics", "draw_examples", "evaluate", "examples", "format_table"]

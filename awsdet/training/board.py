"""What TensorBoard shows of an evaluation besides its numbers: AP of each class, precision over recall, pictures."""

import numpy as np
import tensorflow as tf

from awsdet import evaluation
from awsdet.analysis.axes import Axes, Series, grid, legend, lines
from awsdet.analysis.figure import SERIES, Figure
from awsdet.analysis.raster import raster
from awsdet.training.logs import write_scalars

# More charts than this are no help; the distribution of the classes' AP is one chart.
_MOST_CLASSES = 100
_PICTURES = 4  # images at most, at each evaluation; the picture of a run's end may have more
_WIDTH, _HEIGHT, _LEGEND = 460, 300, 26


def write_evaluation(writer, record) -> None:
    """Writes the record of an evaluation: its numbers, the AP of each class and curves of precision over recall.

    Args:
        writer: a tf.summary writer.
        record: dict of `coco_metrics`, with `step` and other numbers.

    A class is a chart of its own. Of more than 100 classes with objects, a histogram shows the AP of all.
    """
    with writer.as_default(step=record["step"]):
        seen = {name: row for name, row in record.get("per_class", {}).items() if row["objects"]}
        for kind in ("box_ap", "mask_ap"):
            found = {name: row[kind] for name, row in seen.items() if kind in row}
            if len(found) > _MOST_CLASSES:
                tf.summary.histogram(f"classes/{kind}", list(found.values()))
                continue
            for name, value in found.items():
                tf.summary.scalar(f"classes_{kind}/{name}", value)
        if record.get("curves"):
            picture = raster(precision_over_recall(record["curves"]))
            tf.summary.image("evaluation/precision over recall", np.asarray(picture)[None])
    write_scalars(writer, "evaluation/", record)  # flushes


def precision_over_recall(curves) -> Figure:
    """The Figure of the `curves` of `coco_metrics`: boxes and masks side by side, a line per IoU."""
    kinds = [kind for kind in ("box", "mask") if any(name.startswith(kind) for name in curves)]
    shapes = []
    for place, kind in enumerate(kinds):
        drawn = []
        for color, (ending, iou) in zip(SERIES, (("ap50", "0.50"), ("ap75", "0.75"))):
            values = curves[f"{kind}_{ending}"]
            points = list(zip(np.linspace(0, 1, len(values)).tolist(), values))
            drawn.append(Series(points, color, f"IoU {iou}: AP {np.mean(values):.3f}"))
        left = place * _WIDTH
        axes = Axes.inside(left, _LEGEND, _WIDTH, _HEIGHT, (0, 1), (0, 1.02))
        shapes += legend([(one.color, one.name) for one in drawn], left + 14, 8, _WIDTH - 28)[0]
        shapes += [*grid(axes, kind, "recall", "precision"), *lines(axes, drawn)]
    return Figure(len(kinds) * _WIDTH, _LEGEND + _HEIGHT, shapes, "precision over recall, mean over the classes")


def write_pictures(writer, step, detector, manifest, options, count) -> None:
    """Writes a picture of what a detector finds in the first images of a split, beside the truth.

    Args:
        writer: a tf.summary writer; None, as on other ranks than the chief: nothing is done.
        step: of the detector's weights. manifest: Manifest of the split. options: ReaderOptions.
        count: train.pictures. At most 4 images are drawn, and none if it is 0.
    """
    count = min(count, _PICTURES)
    if writer is None or not count:
        return
    picture = evaluation.examples(detector, manifest, options, count)
    with writer.as_default(step=step):
        tf.summary.image("evaluation/predictions and ground truth", np.asarray(picture)[None])

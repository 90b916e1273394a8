"""The first images that a run would show its network: cropped, resized, mirrored, pasted on and recoloured."""

from collections.abc import Iterator

import tensorflow as tf

from awsdet.data.reader.broken import FAILURES
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.inspection import Inspection
from awsdet.runtime.errors import UserError
from awsdet.survey.builder import Training

SHOWN = 12  # images


def first_images(inspection: Inspection, training: Training) -> Iterator[tuple[dict, int]]:
    """(batch, index in it) of the first images of a run in one process, SHOWN at most.

    Raises UserError if a run would not begin or would break off: with what it would say, or with what is broken.
    """
    if inspection.faults:
        raise UserError("the records are broken, so none is shown; run awsdet convert again")
    left = SHOWN
    try:
        for batch in _batches(inspection.manifest, training):
            for index in range(min(left, len(batch["image_id"]))):
                yield batch, index
            left -= len(batch["image_id"])
            if left <= 0:
                return
    except FAILURES as error:
        raise UserError("a record cannot be read; awsdet convert writes it again") from error


def _batches(manifest, training) -> tf.data.Dataset:
    return train_dataset(manifest, training.options, seed=training.seed, rank=0, world_size=1, epochs=1).dataset

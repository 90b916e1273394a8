"""Training without a launcher: for notebooks and programs."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from awsdet.training.loop import Outcome
from awsdet.training.loop import train as train_on_all


def train(
    config: Any,
    output: str | pathlib.Path,
    *,
    resume: bool = False,
    callbacks: Iterable[tf.keras.callbacks.Callback] = (),
    dataset: tf.data.Dataset | None = None,
    class_names: Sequence[str] | None = None,
    verbose: bool = True,
) -> Outcome:
    """Trains a detector in this process, as `awsdet train` does.

    Args:
        config: ConfigDict, as `awsdet.configs.mask_rcnn()` makes one.
        output: the run's folder.
        resume: go on from the newest checkpoint in the folder.
        callbacks: Keras callbacks; the logs of each evaluated epoch contain box_ap, mask_ap, ….
        dataset: one epoch of batches, of known length, to train on instead of config.data.train_records.
        class_names: of `dataset`; None: the class names of the evaluation records.
        verbose: whether to show the log of the run.

    Returns:
        Outcome: exit_code (0: done; 1: failed, or target missed) and the COCO metrics of the last evaluation.

    Raises awsdet.runtime.errors.UserError for a mistake that you can correct.
    """
    before = logging.get_verbosity()
    if verbose:
        logging.set_verbosity(logging.INFO)
    try:
        return train_on_all(
            config, output, resume=resume, callbacks=callbacks, dataset=dataset, class_names=class_names
        )
    finally:
        logging.set_verbosity(before)

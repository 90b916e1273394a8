"""Means over the batches of an evaluation."""

import numpy as np
import tensorflow as tf

from awsdet.models.keras_steps import MeanSteps


def means(*batches):
    """What `evaluate` shows after batches of (loss, accuracy)."""
    steps = MeanSteps(lambda batch: {"loss": batch[0], "accuracy": batch[1]}, eagerly=False)
    iterator = iter(tf.data.Dataset.from_tensor_slices(np.array(batches, np.float32)))
    return [steps(iterator) for _ in batches][-1]


def test_a_metric_of_nothing_is_left_out_and_a_broken_loss_is_not():
    assert means((1.0, 0.5), (2.0, np.nan), (6.0, 0.25)) == {"loss": 3.0, "accuracy": 0.375}
    broken = means((np.nan, np.nan), (1.0, np.nan))
    assert np.isnan(broken["loss"]) and np.isnan(broken["accuracy"])


def test_an_evaluation_begins_anew_and_traces_once():
    traces = []
    steps = MeanSteps(lambda batch: traces.append(1) or {"loss": batch}, eagerly=False)
    for numbers in ([1.0, 3.0], [10.0, 20.0, 60.0]):
        steps.reset()
        iterator = iter(tf.data.Dataset.from_tensor_slices(numbers))
        mean = [steps(iterator) for _ in numbers][-1]
        assert mean == {"loss": np.mean(numbers)}
    assert len(traces) == 1 and steps.data_seconds > 0

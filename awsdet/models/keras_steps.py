"""The functions that Keras' `fit` and `evaluate` call at each step. They take the batch outside the graph."""

import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Refused(NamedTuple):
    """A batch in which a check of the step found a loss or gradient that is not finite; spec: of its dataset."""

    batch: dict
    spec: Any


class TimedSteps:
    """Takes a batch from an iterator and runs a step on it, compiled once for all batches of a dataset.

    Keras' own function takes the batch inside its graph, where the wait for data cannot be measured, and traces again
    for other sizes. Here the dataset's element_spec is the signature of the trace.

    Args:
        step: function of a batch that returns a dict of scalars.
        eagerly: runs the step without compiling it, for debugging.
        kind: function that returns what else a compiled step depends on, a hashable value.
        check: function of a batch that raises an error if the step cannot take it.
        ahead: ReadAhead; None if batches are taken when they are needed.

    Attributes: data_seconds, the time spent waiting for batches so far; refused, the Refused of the step that failed,
        or None.
    """

    def __init__(self, step, eagerly, kind=lambda: None, check=lambda batch: None, ahead=None):
        self._step, self._eagerly, self._kind, self._check, self._compiled = step, eagerly, kind, check, {}
        self._take = ahead.take if ahead else _take
        self.data_seconds, self.refused = 0.0, None

    def __call__(self, iterator):
        batch, waited = self._take(iterator)
        self.data_seconds += waited
        self._check(batch)
        try:
            return self.compiled(iterator.element_spec)(batch)
        except tf.errors.InvalidArgumentError:
            self.refused = Refused(batch, iterator.element_spec)
            raise

    def compiled(self, element_spec):
        """The compiled step for batches of a dataset with this element_spec."""
        if self._eagerly:
            return self._step
        key = str(element_spec), self._kind()
        if key not in self._compiled:
            self._compiled[key] = tf.function(self._step, input_signature=[element_spec])
        return self._compiled[key]


def _take(iterator):
    """(the next batch, the seconds that it was waited for)."""
    start = time.perf_counter()
    batch = next(iterator)
    return batch, time.perf_counter() - start


class MeanSteps(TimedSteps):
    """As TimedSteps, but returns the means of the scalars over the batches since `reset`.

    A metric is NaN in a batch that has nothing to measure, and is left out there. A loss that is NaN stays NaN.
    """

    def __init__(self, step, eagerly, check=lambda batch: None):
        super().__init__(step, eagerly, check=check)
        self._sums, self._counts = {}, {}

    def reset(self):
        """Starts the means again."""
        self._sums.clear()
        self._counts.clear()

    def __call__(self, iterator):
        for name, value in super().__call__(iterator).items():
            value = float(value)
            left_out = np.isnan(value) and not name.endswith("loss")
            self._sums[name] = self._sums.get(name, 0.0) + (0.0 if left_out else value)
            self._counts[name] = self._counts.get(name, 0) + (not left_out)
        counts = self._counts
        return {name: total / counts[name] if counts[name] else np.nan for name, total in self._sums.items()}

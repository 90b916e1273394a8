"""Every parameter's gradient of a training step beside the reference's.

A ReLU whose input is 0 but for rounding passes its gradient on or not as the rounding falls, and one such unit may be
several thousandths of a layer's gradient, on either side. So where the plain run misses, two questions more are asked,
both in float64 and with every stage of the backbone, the pyramid and the heads starting from the reference's features:

1. Does the exact gradient agree? What is left then is the reference's own rounding.
2. If not, does it agree once units whose input lies within float32 rounding of 0 count as the reference's gradient
   says, each as on or as off? Tens of units among millions; nothing else may differ.
"""

from unittest import mock

import numpy as np
import tensorflow as tf

from awsdet.weights import mmdet
from tests.parity.precise import ReLUs, in_float64, units_at_zero
from tests.parity.reference import features_given
from tests.parity.rows import Row
from tests.parity.training_step import step

TOLERANCE = 1e-3


def gradient_rows(reference, batch, gradients):
    """Two rows: the parameters' names; the worst of their gradients, by the plain run or as told above.

    `gradients`: of the plain run, as `trainable_variables`.
    """
    names, keys = {str(name) for name in reference.arrays["trainable"]}, _keys(reference.detector)
    rows = [Row("trainable parameters that differ", len(names ^ set(keys)), 0)]
    if not rows[0].holds:
        return rows
    sides = mmdet.windows(reference.detector)
    expected = Expected([mmdet.from_source(key, reference.arrays[f"grads/{key}"], sides) for key in keys])
    errors, how = expected.errors(gradients), ""
    if errors.max() > TOLERANCE:
        plain, (errors, how) = errors.max(), exact_errors(reference, batch, expected)
        how = f", in float64{how} (plain: {plain:.2g})"
    return [
        *rows,
        Row(f"gradients of {len(keys)} parameters, worst {keys[errors.argmax()]}{how}", errors.max(), TOLERANCE),
    ]


def _keys(detector):
    """The reference's name of each trainable variable."""
    keys = {id(variable): key for key, variable in mmdet.table(detector).items()}
    return [keys[id(variable)] for variable in detector.trainable_variables]


def exact_errors(reference, batch, expected):
    """Errors in float64 from the reference's features; where too large, with units at 0 the other way round.

    Returns float64 [number of parameters] and these circumstances in words.
    """
    with in_float64(reference) as precise, features_given(precise) as how:
        gradients = step(precise, batch)[2]
        errors = expected.errors(gradients)
        if errors.max() <= TOLERANCE:
            return errors, how
        flipped, count = _flips(precise, batch, expected, gradients)
        with mock.patch.object(tf.nn, "relu", ReLUs(flipped)):
            errors = expected.errors(step(precise, batch)[2])
    return errors, f"{how}, {len(flipped)} of {count} units at 0 the other way round"


def _flips(precise, batch, expected, gradients):
    """The units at 0 whose gates the reference had the other way round, and the number of all.

    Each in turn counts as that if with its change the gradients are nearer to the reference's.
    """
    missing, flipped, count = expected.missing(gradients), [], 0
    for unit, change in units_at_zero(precise, batch):
        count += 1
        change = expected.scaled(change)
        if 2 * np.dot(missing, change) > np.dot(change, change):
            missing -= change
            flipped.append(unit)
    return flipped, count


class Expected:
    """Gradients to be met, and what an error in each is divided by: its L2 norm, or 1e-4 of the largest gradient's norm
    where that is more."""

    def __init__(self, gradients):
        self.values = [_array(gradient) for gradient in gradients]
        norms = np.array([np.linalg.norm(value) for value in self.values])
        self.norms = np.maximum(norms, 1e-4 * norms.max())

    def errors(self, gradients):
        """Relative L2 error of each gradient: float64 [number of parameters]."""
        differences = [np.linalg.norm(_array(a) - b) for a, b in zip(gradients, self.values)]
        return np.array(differences) / self.norms

    def missing(self, gradients):
        """What must be added to `gradients`, scaled."""
        return self.scaled(self.values) - self.scaled(gradients)

    def scaled(self, gradients):
        """All gradients in one vector, each divided by its norm here."""
        return np.concatenate([_array(value).ravel() / norm for value, norm in zip(gradients, self.norms)])


def _array(gradient):
    return np.asarray(tf.convert_to_tensor(gradient), np.float64)

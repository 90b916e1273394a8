"""Compares every parameter's gradient in a training step with the reference's.

If the input of a ReLU differs from 0 only by rounding, it depends on the rounding whether the ReLU passes its gradient
on, for us and for the reference. One such unit may make up several thousandths of a layer's gradient. So if the plain
run misses the tolerance, two more questions are asked. Both use float64, and let every stage of the backbone, the
pyramid and the heads start from the reference's features:

1. Does the exact gradient agree? Then only the reference's own rounding is left.
2. If not, does it agree once each unit whose input lies within float32 rounding of 0 is switched on or off as the
   reference's gradient suggests? These are tens of units among millions; nothing else may differ.
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
    """Two rows: the names of the parameters, and the worst of their gradients, by the plain run or as described above.

    `gradients` are those of the plain run, in the order of `trainable_variables`.
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
    """The reference's names of the trainable variables, in order."""
    keys = {id(variable): key for key, variable in mmdet.table(detector).items()}
    return [keys[id(variable)] for variable in detector.trainable_variables]


def exact_errors(reference, batch, expected):
    """Errors in float64 from the reference's features; if they are too large, then with some units at 0 switched.

    Returns float64 [number of parameters], and a description of these circumstances.
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
    """The units at 0 whose gates the reference had the other way round, and the number of all units at 0.

    They are tried one by one. A unit counts as switched if its change brings the gradients nearer to the reference's.
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
    """The gradients to be met.

    An error is divided by the L2 norm of its gradient, or by 1e-4 of the largest gradient's norm if that is more.
    """

    def __init__(self, gradients):
        self.values = [_array(gradient) for gradient in gradients]
        norms = np.array([np.linalg.norm(value) for value in self.values])
        self.norms = np.maximum(norms, 1e-4 * norms.max())

    def errors(self, gradients):
        """Relative L2 error of each gradient: float64 [number of parameters]."""
        differences = [np.linalg.norm(_array(a) - b) for a, b in zip(gradients, self.values)]
        return np.array(differences) / self.norms

    def missing(self, gradients):
        """The difference from `gradients` to the expected ones, scaled."""
        return self.scaled(self.values) - self.scaled(gradients)

    def scaled(self, gradients):
        """All gradients in one vector, each divided by the norm of the expected one."""
        return np.concatenate([_array(value).ravel() / norm for value, norm in zip(gradients, self.norms)])


def _array(gradient):
    return np.asarray(tf.convert_to_tensor(gradient), np.float64)

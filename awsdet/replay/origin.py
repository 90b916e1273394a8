"""Where in a graph the first number that is not finite comes from.

The sizes of all floating-point tensors of a traced function are computed beside its results. From a result that is not
finite, the way leads back over inputs that are not finite either, to operations with finite inputs alone: the origins.
So infinities that a mask takes out again, which are normal in a detector, are on no way.

Symbols: N tensors of the graph.
"""

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

OUTSIDE = "outside of the layers"  # the part of sums and shapes between the others
_READ = "ReadVariableOp"
_SAME = ("Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient")  # the numbers that they get
CAST = "AwsdetCast"  # of all kernels at once
_ONE_EACH = (*_SAME, CAST)  # make each of their outputs from the input in the same place
_GRADIENT = re.compile(r"^gradient_tape/")


class Size(NamedTuple):
    """What is known of a tensor."""

    name: str  # of the operation, with the scopes of its layers
    kind: str  # type of the operation; of a variable "ReadVariableOp"
    variable: str  # whose value it is; empty for others
    inputs: tuple  # numbers of the tensors that the operation reads, of those that are known
    dtype: str
    largest: float = 0.0  # largest absolute value
    finite: bool = True

    @property
    def part(self) -> str:
        """The part of the model that it belongs to, as `part_of` says; "gradient of" it in the backward pass."""
        return ("gradient of " if _GRADIENT.match(self.name) else "") + part_of(self.name)


class Sizes:
    """Collects the sizes of all tensors of the function that is being traced which some results are made from.

    Make it at the end of the function, which then has to return `measured`.

    Args:
        results: list of tensors of the function, all of floats. variables: list of variables that it may read.

    Attributes: measured, (largest float64 [N], finite bool [N]); numbers, those of `results`.
    """

    def __init__(self, results, variables):
        graph = tf.compat.v1.get_default_graph()
        names = {id(variable.handle): variable.name.partition(":")[0] for variable in variables}
        captured = {inner.ref(): names.get(id(outer), "") for outer, inner in graph.captures}
        number, known, measured = {}, [], []
        with tf.name_scope("sizes"):
            shape, axis = tf.constant([-1]), tf.constant([0])
        needed = _needed(results)
        for operation in [one for one in graph.get_operations() if one in needed]:
            for tensor in operation.outputs:
                read = [operation.inputs[tensor.value_index]] if operation.type in _ONE_EACH else operation.inputs
                inputs = tuple(number[one.ref()] for one in read if one.ref() in number)
                if operation.type in _SAME and inputs:
                    number[tensor.ref()] = inputs[0]
                elif tensor.dtype.is_floating:
                    number[tensor.ref()] = len(known)
                    variable = captured.get(operation.inputs[0].ref(), "") if operation.type == _READ else ""
                    known.append(Size(operation.name, operation.type, variable, inputs, tensor.dtype.name))
                    measured.append(_measured(tensor, shape, axis))
        self._known, self.numbers = known, [number[tensor.ref()] for tensor in results]
        with tf.name_scope("sizes"):
            self.measured = tuple(tf.stack(part) for part in zip(*measured))

    def known(self, measured) -> list[Size]:
        """The Size of each tensor; measured: what the function returned for `measured`."""
        return [
            size._replace(largest=max(0.0, float(largest)), finite=bool(finite))  # of no numbers the largest is -inf
            for size, largest, finite in zip(self._known, *(np.asarray(part) for part in measured))
        ]


def _needed(results):
    """The operations that some tensors depend on."""
    found, waiting = set(), [tensor.op for tensor in results]
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
    return found


def _measured(tensor, shape, axis):
    """(largest absolute value, whether all are finite). Raw operations: there are thousands of tensors."""
    with tf.name_scope("sizes"):
        flat = tf.raw_ops.Reshape(tensor=tensor, shape=shape)
        largest = tf.raw_ops.Max(input=tf.raw_ops.Abs(x=flat), axis=axis)
        finite = tf.raw_ops.All(input=tf.raw_ops.IsFinite(x=flat), axis=axis)
        return tf.raw_ops.Cast(x=largest, DstT=tf.float64), finite


def way_back(sizes: list[Size], results: list[int]) -> set[int]:
    """The numbers of the tensors that are not finite and lead to one of `results`, with these."""
    way, waiting = set(), [one for one in results if not sizes[one].finite]
    while waiting:
        number = waiting.pop()
        if number not in way:
            way.add(number)
            waiting += [one for one in sizes[number].inputs if not sizes[one].finite]
    return way


def origins(sizes: list[Size], results: list[int]) -> list[int]:
    """Those of `way_back` that are made from finite numbers alone, or from none; rising."""
    way = way_back(sizes, results)
    return sorted(number for number in way if not way.intersection(sizes[number].inputs))


def part_of(name: str) -> str:
    """The part of the model that an operation of this name belongs to, as in "backbone.layer1.0.conv1".

    Our layers have names with dots. An operation outside of them has the name of its step, as in "rpn_losses".
    """
    scopes = _GRADIENT.sub("", name).split("/")[:-1]
    dotted = [scope for scope in scopes if "." in scope]
    part = dotted[-1] if dotted else scopes[0] if scopes else OUTSIDE
    return re.sub(r"_\d+$", "", part)

"""The cost of a training step by part of the model: FLOPs counted in its graph, time from a trace of one step."""

import collections
import tempfile

import numpy as np
import tensorflow as tf

from awsdet.training import profile


def flops_by_part(detector, spec, batch, positives):
    """FLOPs of all convolutions and matrix products in one training step, two per multiplication and addition.

    They are counted at the sizes of the batch. A dimension that is known only at run time is the number of RoIs: all
    sampled ones in the box head, `positives` in the mask head.
    """
    sampled = batch["image"].shape[0] * detector.roi_heads.stages[0].sampler.size
    fixed = tf.nest.map_structure(
        lambda wanted, value: wanted if isinstance(value, tf.RaggedTensor) else tf.TensorSpec(value.shape, value.dtype),
        spec,
        batch,
    )
    step = tf.function(detector.train_step, autograph=False).get_concrete_function(fixed)
    totals = collections.Counter()
    for operation in _executed(step.graph):
        part = profile.part_of(operation.name)
        count = _flops(operation, positives if "mask" in part else sampled)
        if count:
            totals[part] += count
    return dict(totals)


def _executed(graph):
    """The operations that a result or a side effect needs. Others, such as gradients of frozen layers, never run."""
    pending = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    pending += [operation for operation in graph.get_operations() if operation.op_def.is_stateful]
    needed = set()
    while pending:
        operation = pending.pop()
        if operation not in needed:
            needed.add(operation)
            pending += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return needed


def _flops(operation, rois):
    def shape(tensor):
        return [rois if d is None else d for d in tensor.shape.as_list()]

    kind, inputs, outputs = operation.type, operation.inputs, operation.outputs
    if kind in ("Conv2D", "_FusedConv2D"):
        height, width, channels, _ = shape(inputs[1])
        return 2 * int(np.prod(shape(outputs[0]))) * height * width * channels
    if kind == "Conv2DBackpropInput":
        height, width, channels, _ = shape(inputs[1])
        return 2 * int(np.prod(shape(inputs[2]))) * height * width * channels
    if kind == "Conv2DBackpropFilter":
        height, width, channels, _ = shape(outputs[0])
        return 2 * int(np.prod(shape(inputs[2]))) * height * width * channels
    if kind in ("MatMul", "_FusedMatMul"):
        left = shape(inputs[0])
        inner = left[0] if operation.get_attr("transpose_a") else left[1]
        return 2 * int(np.prod(shape(outputs[0]))) * inner
    if kind in ("BatchMatMulV2", "BatchMatMul"):
        left = shape(inputs[0])
        inner = left[-2] if operation.get_attr("adj_x") else left[-1]
        return 2 * int(np.prod(shape(outputs[0]))) * inner
    return 0


def seconds_by_part(call):
    """Seconds of processor time of one call by part, from TensorFlow's trace of every operation."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        call()
        tf.profiler.experimental.stop()
        return dict(profile.seconds_by_part(profile.read(folder).rows))

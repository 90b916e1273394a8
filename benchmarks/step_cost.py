"""The cost of a training step by part of the model: FLOPs counted in its graph, time from a trace of one step."""

import collections
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

# An operation belongs to the first of these parts of which its name contains a mark.
PARTS = (
    ("backbone", ("backbone.",)),
    ("FPN", ("neck.",)),
    ("RPN head", ("rpn_head", "rpn_samples")),
    ("mask head", ("mask_head",)),
    ("box head", ("bbox_head",)),
    ("RoIAlign", ("RoiAlign",)),
    ("proposals", ("proposals/",)),
    ("targets", ("targets/",)),
    ("losses", ("losses/",)),
    ("update", ("update/", "SGD/", "global_norm")),
)

# Operations that only run other operations, which have times of their own.
CALLS = ("StatefulPartitionedCall", "PartitionedCall", "If", "StatelessIf", "While", "StatelessWhile")


def part_of(name):
    """The part that an operation belongs to, by its name in the graph, which begins with its layer's name."""
    gradient = "gradient_tape" in name
    for part, marks in PARTS:
        if any(mark in name for mark in marks):
            return f"{part}, gradient" if gradient else part
    return "the rest, gradient" if gradient else "the rest"


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
        part = part_of(operation.name)
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
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        call()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space.ParseFromString(path.read_bytes())
    totals = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                operation, _, kind = name.rpartition(":")  # operations are name:type
                if operation and operation.strip("$:") == operation and kind.isidentifier() and kind not in CALLS:
                    totals[part_of(name)] += event.duration_ps * 1e-12
    return dict(totals)

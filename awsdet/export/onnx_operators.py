"""awsdet's operators in an ONNX graph: RoiAlign and NonMaxSuppression of ONNX, the others in TensorFlow's own.

The graph is traced with the functions of `OPERATORS`. They leave two of the compiled operators in it, in a form that
`HANDLERS` can turn into nodes of ONNX; `tf2onnx` turns the rest, all but SelectV2.

Symbols: B images, N boxes per image, K the most to keep, R RoIs, P side of the pooled features.
"""

import types

import numpy as np
import tensorflow as tf

from awsdet.ops import library, plain
from awsdet.ops.plain.roi_align import assign_levels

_FLOAT, _INT32, _INT64, _BOOL, _FLOAT16 = 1, 6, 7, 9, 10  # onnx.TensorProto.DataType
_FLOATS = (_FLOAT, _FLOAT16)


def _roi_align(*, pyramid, boxes, image_index, strides, finest_scale, **rule):
    """See `awsdet.ops.roi_align.roi_align`: one operator for the RoIs of each level, in float32 for onnxruntime."""
    dtype = pyramid[0].dtype
    pyramid = [tf.cast(features, tf.float32) for features in pyramid]
    level = assign_levels(boxes, finest_scale, len(pyramid))
    places, parts = [], []
    for number, (features, stride) in enumerate(zip(pyramid, strides)):
        place = tf.where(level == number)
        own = {"boxes": tf.gather_nd(boxes, place), "image_index": tf.gather_nd(image_index, place)}
        one = {"pyramid": [features], "strides": [stride], "finest_scale": finest_scale}
        parts.append(library.compiled().awsdet_roi_align(**one, **own, **rule))
        places.append(place)
    count = tf.shape(boxes, tf.int64)[0]
    order = tf.scatter_nd(tf.concat(places, axis=0), tf.range(count), tf.reshape(count, [1]))
    return tf.cast(tf.gather(tf.concat(parts, axis=0), order), dtype)


def _nms(**arguments):
    """See `awsdet.ops.nms.nms`. ONNX has no Soft-NMS."""
    return (library.compiled() if arguments["method"] == "hard" else plain).awsdet_nms(**arguments)


OPERATORS = types.SimpleNamespace(
    **{name: getattr(plain, name) for name in plain.__all__} | {"awsdet_roi_align": _roi_align, "awsdet_nms": _nms}
)


def resize(image, size):
    """As `tf.image.resize`, in the order of its operations. Resize of ONNX would round some pixels otherwise."""
    before = tf.shape(image)[1:3]
    rows, columns = (_sources(before[axis], size[axis]) for axis in (0, 1))

    def line(place):
        own = tf.gather(image, place, axis=1)
        left, right = (tf.cast(tf.gather(own, side, axis=2), tf.float32) for side in columns[:2])
        return left + (right - left) * columns[2][:, tf.newaxis]

    top, bottom = line(rows[0]), line(rows[1])
    return top + (bottom - top) * rows[2][:, tf.newaxis, tf.newaxis]


def _sources(before, after):
    """For each of `after` pixels of an axis that has `before`: the two it lies between, int32, and the share of the
    second, float32."""
    scale = tf.cast(before, tf.float32) / tf.cast(after, tf.float32)
    place = (tf.cast(tf.range(after), tf.float32) + 0.5) * scale - 0.5
    low = tf.floor(place)
    first = tf.maximum(tf.cast(low, tf.int32), 0)
    second = tf.minimum(tf.cast(tf.math.ceil(place), tf.int32), before - 1)
    return first, second, place - low


class _Nodes:
    """Puts nodes in the place of one of `tf2onnx`'s graph. A call adds a node; its result is its output's name."""

    def __init__(self, graph, node):
        self._graph, self._name, self._count = graph, node.name, 0
        self._outputs = list(zip(node.output, node.output_dtypes, node.output_shapes))
        graph.remove_node(node.name)

    def __call__(self, kind, *inputs, dtypes=None, outputs=1, **attributes):
        name, given = self._next(kind), self._constants(inputs)
        node = self._graph.make_node(kind, given, attr=attributes, output_count=outputs, name=name, dtypes=dtypes)
        return node.output[0] if outputs == 1 else node.output

    def end(self, place, kind, *inputs, **attributes):
        """A node that gives output number `place` of the one that is replaced."""
        output, dtype, shape = self._outputs[place]
        self._graph.make_node(
            kind,
            self._constants(inputs),
            attr=attributes,
            outputs=[output],
            name=self._next(kind),
            dtypes=[dtype],
            shapes=[shape],
        )

    def _constants(self, inputs):
        """Arrays among the inputs become constants."""
        return [
            one if isinstance(one, str) else self._graph.make_const(self._next("const"), one).output[0]
            for one in inputs
        ]

    def _next(self, kind):
        self._count += 1
        return f"{self._name}/{kind}_{self._count}"


def _roi_align_node(graph, node, name, arguments):
    """AwsdetRoiAlign of one level -> RoiAlign, whose features are [B, C, H, W]."""
    del name, arguments
    rule = {name: node.get_attr_value(name) for name in ("output_size", "sampling_ratio", "strides", "aligned")}
    features, boxes, image_index = node.input
    add = _Nodes(graph, node)
    pooled = add(
        "RoiAlign",
        add("Transpose", features, perm=[0, 3, 1, 2], dtypes=[_FLOAT]),
        boxes,
        add("Cast", image_index, to=_INT64),
        dtypes=[_FLOAT],
        mode="avg",
        output_height=rule["output_size"],
        output_width=rule["output_size"],
        sampling_ratio=rule["sampling_ratio"],
        spatial_scale=1.0 / rule["strides"][0],
        coordinate_transformation_mode="half_pixel" if rule["aligned"] else "output_half_pixel",
    )
    add.end(0, "Transpose", pooled, perm=[0, 2, 3, 1])


def _nms_node(graph, node, name, arguments):
    """AwsdetNms, hard -> NonMaxSuppression, which takes the scores of each class apart, [B, C, N].

    Boxes that cannot be kept go first: a box head gives 80,000, few of which have a score that counts.
    """
    del name, arguments
    most, iou, least = (node.get_attr_value(name) for name in ("max_output", "iou_threshold", "score_threshold"))
    boxes, scores, classes = node.input
    add = _Nodes(graph, node)
    minus_infinity, zero, axis_1, axis_2 = np.float32("-inf"), np.int64(0), np.array([1]), np.array([2])
    finite = add("Cast", add("Less", add("Abs", boxes), np.float32("inf")), to=_INT32)
    finite = add("Cast", add("ReduceMin", finite, axes=[2], keepdims=0), to=_BOOL)
    usable = add("And", finite, add("Greater", scores, np.float32(least)))
    scores = add("Where", usable, scores, minus_infinity)
    boxes = add("Where", add("Unsqueeze", usable, axis_2), boxes, np.float32(0))

    count = add("ReduceSum", add("Cast", usable, to=_INT64), axis_1, keepdims=0)
    longest = add("Max", add("ReduceMax", count, axes=[0], keepdims=1), np.array([1]))
    scores, order = add("TopK", scores, longest, axis=1, outputs=2, dtypes=[_FLOAT, _INT64])
    chosen = add("Unsqueeze", order, axis_2)
    boxes, classes = (add("GatherND", values, chosen, batch_dims=1) for values in (boxes, classes))

    end = add("Add", add("ReduceMax", classes, axes=[0, 1], keepdims=0), np.int32(1))
    labels = add("Unsqueeze", add("Range", np.int32(0), end, np.int32(1), dtypes=[_INT32]), np.array([0, 2]))
    own = add("Equal", add("Unsqueeze", classes, axis_1), labels)
    of_classes = add("Where", own, add("Unsqueeze", scores, axis_1), minus_infinity)
    lowest = np.array([np.finfo(np.float32).min], np.float32)
    limits = (np.array([most]), np.array([iou], np.float32), lowest)
    kept = add("NonMaxSuppression", boxes, of_classes, *limits, dtypes=[_INT64])  # rows of image, class, box

    place = add("Gather", kept, np.array([0, 2]), axis=1)
    nothing = add("Expand", minus_infinity, add("Shape", scores, dtypes=[_INT64]), dtypes=[_FLOAT])
    left = add("ScatterND", nothing, place, add("GatherND", scores, place))
    left = add("Pad", left, np.array([0, 0, 0, most]), minus_infinity)  # there may be fewer than K
    scores, index = add("TopK", left, np.array([most]), axis=1, outputs=2, dtypes=[_FLOAT, _INT64])
    valid = add("Greater", scores, minus_infinity)
    index = add("Unsqueeze", add("Where", valid, index, zero), axis_2)
    found, boxes, classes = (add("GatherND", values, index, batch_dims=1) for values in (order, boxes, classes))
    add.end(0, "Cast", add("Where", valid, found, zero), to=_INT32)
    add.end(1, "Where", valid, scores, np.float32(0))
    add.end(2, "ReduceSum", add("Cast", valid, to=_INT32), axis_1, keepdims=0)
    add.end(3, "Where", add("Unsqueeze", valid, axis_2), boxes, np.float32(0))
    add.end(4, "Where", valid, classes, np.int32(-1))
    add.end(5, "Identity", valid)


def _select_node(graph, node, name, arguments):
    """SelectV2 of floats -> Where. tf2onnx makes two products and their sum, and infinity times zero is no number."""
    del name, arguments
    from tf2onnx.onnx_opset.controlflow import Select

    if graph.get_dtype(node.output[0]) in _FLOATS:
        node.type = "Where"
    else:  # exact for whole numbers; and onnxruntime has no Where of booleans
        Select.version_7(graph, node)


# As `custom_op_handlers` of tf2onnx.convert wants them: each is called with the graph, the node, its name and [].
HANDLERS = {
    "AwsdetRoiAlign": (_roi_align_node, []),
    "AwsdetNms": (_nms_node, []),
    "SelectV2": (_select_node, []),
}

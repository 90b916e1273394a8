"""The calls by which the operators are compared: each has random inputs, and says how equal the results must be.

Every operator with a GPU kernel is called, in every dtype that it has, with its gradient. `ALL` holds functions that
make a Case, one after the other, so that the inputs of all do not fill the memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.ops import anchors as anchors_op
from awsdet.ops import decode_boxes as decode_boxes_op
from awsdet.ops import match as match_op
from awsdet.ops import nms as nms_op
from awsdet.ops import sample as sample_op
from awsdet.ops import top_boxes as top_boxes_op
from awsdet.ops.affine import batch_norm, bias
from awsdet.ops.cell_windows import cell_windows
from awsdet.ops.multi_tensor import accumulate, adamw_update, cast, global_norm, moving_average, set_zero, sgd_update
from awsdet.ops.roi_align import roi_align
from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN
from tests.gpu import inputs
from tests.gpu.compare import Tolerance

DTYPES = (tf.float32, tf.float16, tf.bfloat16)
_ROUNDING = {tf.float32: 0.0, tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}  # one step to the next number


class Case(NamedTuple):
    """One call."""

    name: str
    operators: tuple  # TensorFlow's names of the operators that it runs
    inputs: dict  # name -> NumPy array, or list of them
    call: Callable[..., dict[str, Any]]  # of tensors by these names; returns name -> tensor, or list of tensors
    tolerances: dict = {}  # by name of a result; all others must be equal, bit for bit


def _as(dtype, arrays):
    return [array.astype(dtype.as_numpy_dtype) for array in arrays]


def roi_align_case(dtype, output_size):
    """P2 to P5; sums have another order on a GPU, and are rounded once."""

    def make(random, sizes):
        rois = sizes.images * sizes.samples
        pooled = random.standard_normal((rois, output_size, output_size, sizes.channels), np.float32)
        arrays = {
            "pyramid": _as(dtype, inputs.pyramid(sizes)[:4]),
            "boxes": inputs.boxes(random, (rois,), sizes),
            "image_index": random.integers(0, sizes.images, rois).astype(np.int32),
            "upstream": _as(dtype, [pooled])[0],
        }

        def call(pyramid, boxes, image_index, upstream):
            options = {"strides": inputs.STRIDES[:4], "output_size": output_size}
            with tf.GradientTape() as tape:
                tape.watch(pyramid)
                pooled = roi_align(pyramid, boxes, image_index, **options)
            return {"pooled": pooled, "gradient": tape.gradient(pooled, pyramid, upstream)}

        close = Tolerance(1e-5, _ROUNDING[dtype])
        names = ("AwsdetRoiAlign", "AwsdetRoiAlignGrad")
        name = f"roi_align {output_size} x {output_size}, {dtype.name}"
        return Case(name, names, arrays, call, {"pooled": close, "gradient": close})

    return make


def cell_windows_case(dtype):
    """With anchors that coincide."""

    def make(random, sizes):
        cells = sum(height * width for height, width in inputs.grids(sizes))
        index = random.integers(0, cells * inputs.ANCHORS, (sizes.images, sizes.samples)).astype(np.int32)
        index[:, ::3] = index[:, :1]
        upstream = random.standard_normal((sizes.images, sizes.samples, 9, sizes.channels), np.float32)
        arrays = {
            "pyramid": _as(dtype, inputs.pyramid(sizes)),
            "index": index,
            "upstream": _as(dtype, [upstream])[0],
        }

        def call(pyramid, index, upstream):
            with tf.GradientTape() as tape:
                tape.watch(pyramid)
                found = cell_windows(pyramid, index, inputs.ANCHORS)
            return {**found._asdict(), "gradient": tape.gradient(found.windows, pyramid, upstream)}

        names = ("AwsdetCellWindows", "AwsdetCellWindowsGrad")
        return Case(f"cell_windows, {dtype.name}", names, arrays, call)

    return make


def affine_case(dtype, norm):
    """The features of layer2's last convolution, with residual and ReLU. Sums over rows have another order."""

    def make(random, sizes):
        channels = 2 * sizes.channels
        shape = (sizes.images, *inputs.grids(sizes)[1], channels)
        features = [random.standard_normal(shape, np.float32) for _ in range(3)]
        arrays = dict(zip(("features", "residual", "upstream"), _as(dtype, features)))
        names = ("gamma", "beta", "mean", "variance") if norm else ("bias",)
        for name in names:
            arrays[name] = random.uniform(0.5, 1.5, channels).astype(np.float32)

        def call(features, residual, upstream, **parameters):
            trained = [parameters[name] for name in names[:2]]
            with tf.GradientTape() as tape:
                tape.watch([features, residual, *trained])
                if norm:
                    outputs = batch_norm(features, **parameters, epsilon=1e-5, residual=residual, relu=True)
                else:
                    outputs = bias(features, **parameters, residual=residual, relu=True)
            found = tape.gradient(outputs, [features, residual, *trained], upstream)
            own = {f"gradient of {name}": value for name, value in zip(names, found[2:])}
            return {"outputs": outputs, "gradient": found[0], "gradient of the residual": found[1], **own}

        sums = {f"gradient of {name}": Tolerance(1e-4) for name in names}
        operators = ("AwsdetAffine", "AwsdetAffineGrad")
        return Case(f"affine, {'norm' if norm else 'bias'}, {dtype.name}", operators, arrays, call, sums)

    return make


def anchors_case(random, sizes):
    """Of the RPN, with those that take part."""
    arrays = {
        "levels": np.array(inputs.grids(sizes), np.int32),
        "image_size": inputs.image_size(random, sizes),
    }
    half = 4 * np.sqrt([0.5, 1.0, 2.0])
    shapes = [[(-w * s, -h * s, w * s, h * s) for w, h in zip(half, half[::-1])] for s in inputs.STRIDES]

    def call(levels, image_size):
        options = {"strides": inputs.STRIDES, "shapes": shapes, "pad_multiple": 32, "allowed_border": 0.0}
        return anchors_op.anchors(levels, image_size, **options)._asdict()

    return Case("anchors", ("AwsdetAnchors",), arrays, call)


def match_case(truth):
    """The anchors of the RPN, or the proposals of a batch with the objects before them if `truth`."""

    def make(random, sizes):
        arrays, options = _match_arguments(random, sizes, truth)
        name = f"match of {'proposals' if truth else 'anchors'}"
        return Case(name, ("AwsdetMatch",), arrays, lambda **given: match_op.match(**given, **options)._asdict())

    return make


def _match_arguments(random, sizes, truth):
    objects = inputs.boxes(random, (sizes.images, sizes.objects), sizes)
    count = sizes.proposals if truth else inputs.ANCHORS * sum(h * w for h, w in inputs.grids(sizes))
    near = inputs.crowd(random, objects, count // 4)
    far = inputs.boxes(random, (sizes.images, count - count // 4), sizes)
    kind = random.integers(0, 8, (sizes.images, sizes.objects))
    arrays = {
        "candidates": np.concatenate([near, far], axis=1),
        "valid": random.uniform(size=(sizes.images, count)) < 0.9,
        "boxes": objects,
        "is_target": kind > 0,
        "is_crowd": kind == 0,
    }
    positive, negative = (0.5, 0.5) if truth else (0.7, 0.3)
    options = {"positive_iou": positive, "negative_iou": negative, "low_quality_matches": not truth}
    return arrays, {**options, "min_positive_iou": 0.3, "ignore_iof": 0.5, "with_truth": truth}


def sample_case(truth):
    """What `match` on the CPU makes of the same candidates. Logarithms may differ in their last bits."""

    def make(random, sizes):
        matching, options = _match_arguments(random, sizes, truth)
        with tf.device("CPU:0"):
            matched = match_op.match(**matching, **options)
        arrays = {
            **{name: value.numpy() for name, value in matched._asdict().items()},
            "keys": random.uniform(size=matched.positive.shape).astype(np.float32),
            "candidates": matching["candidates"],
            "boxes": matching["boxes"],
            "classes": random.integers(0, sizes.classes, (sizes.images, sizes.objects)).astype(np.int32),
        }

        def call(positive, negative, index, keys, candidates, boxes, classes):
            matched = match_op.Match(positive, negative, index)
            size = {"size": sizes.samples, "positive_limit": sizes.samples // 2, "background": sizes.classes}
            found = sample_op.sample(
                matched, keys, candidates, boxes, classes, **size, stds=inputs.STDS, with_truth=truth
            )
            return found._asdict()

        name = f"sample of {'proposals' if truth else 'anchors'}"
        return Case(name, ("AwsdetSample",), arrays, call, {"deltas": Tolerance(0.0, 1e-6)})

    return make


def top_boxes_case(dtype, classes):
    """The proposals of the RPN (one class), or a RetinaNet's detections on levels from P3 on."""

    def make(random, sizes):
        levels = inputs.grids(sizes)[0 if classes == 1 else 1 :]
        counts = [inputs.ANCHORS * height * width for height, width in levels]
        logits = [random.standard_normal((sizes.images, n, classes), np.float32) for n in counts]
        deltas = [random.standard_normal((sizes.images, n, 4), np.float32) for n in counts]
        arrays = {
            "logits": _as(dtype, logits),
            "deltas": _as(dtype, deltas),
            "anchors": inputs.boxes(random, (sum(counts),), sizes),
            "image_size": inputs.image_size(random, sizes),
        }

        def call(**given):
            options = {"stds": (1.0,) * 4, "max_log_ratio": inputs.MAX_LOG_RATIO}
            return top_boxes_op.top_boxes(**given, limit=sizes.per_level, min_size=1.0, **options)._asdict()

        return Case(f"top_boxes of {classes} classes, {dtype.name}", ("AwsdetTopBoxes",), arrays, call)

    return make


def decode_boxes_case(dtype):
    """The boxes of all classes of a box head."""

    def make(random, sizes):
        shape = (sizes.images, sizes.proposals)
        deltas = random.standard_normal((*shape, sizes.classes, 4), np.float32)
        arrays = {
            "deltas": _as(dtype, [deltas])[0],
            "boxes": inputs.boxes(random, shape, sizes),
            "image_size": inputs.image_size(random, sizes),
        }

        def call(**given):
            options = {"stds": inputs.STDS, "max_log_ratio": inputs.MAX_LOG_RATIO}
            return decode_boxes_op.decode_boxes(**given, num_classes=sizes.classes, **options)._asdict()

        return Case(f"decode_boxes, {dtype.name}", ("AwsdetDecodeBoxes",), arrays, call)

    return make


def nms_case(method, in_order):
    """Boxes on and around objects; scores that are equal. Gaussian scores may differ in their last bits."""

    def make(random, sizes):
        lists, limit = (len(inputs.STRIDES), sizes.proposals) if in_order else (sizes.classes, 100)
        count = lists * sizes.per_level if in_order else sizes.proposals * 4
        objects = inputs.boxes(random, (sizes.images, sizes.objects), sizes)
        scores, numbers = zip(*(inputs.ranked(random, count, lists) for _ in range(sizes.images)))
        arrays = {"boxes": inputs.crowd(random, objects, count), "scores": np.stack(scores)}
        arrays["classes"] = np.stack(numbers)
        if not in_order:
            shuffled = random.permutation(count)
            arrays = {name: value[:, shuffled] for name, value in arrays.items()}

        def call(**given):
            options = {"iou_threshold": 0.7 if in_order else 0.5, "score_threshold": 0.05, "max_output": limit}
            found = nms_op.nms(**given, **options, method=method, in_order=in_order)._asdict()
            if method == "gaussian":  # boxes whose scores are that close may change places
                return {name: found[name] for name in ("scores", "count", "valid")}
            return found

        name = f"nms, {method}{', in order' if in_order else ''}"
        return Case(name, ("AwsdetNms",), arrays, call, {"scores": Tolerance(0, 1e-5 * (method == "gaussian"))})

    return make


def update_case(random, sizes):
    """The update of all variables of a Mask R-CNN R50-FPN, with gradients of 16 bits too; the norm, the sums of two
    steps, averages, casts, zeros."""
    shapes = MASK_RCNN_R50_FPN[: sizes.variables]
    kinds = ("variables", "momenta", "gradients")
    arrays = {kind: [random.standard_normal(shape, np.float32) for shape in shapes] for kind in kinds}

    def call(variables, momenta, gradients):
        halves = {"bfloat16": cast(variables, "bfloat16"), "float16": cast(variables, "float16")}
        variables, momenta, sums, averages, zeros = (
            [tf.Variable(value, trainable=False) for value in values]
            for values in (variables, momenta, gradients, gradients, momenta)
        )
        rule = {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-4}
        sgd_update(variables, momenta, gradients, **rule, factor=0.5)
        sgd_update(variables, momenta, halves["bfloat16"], **rule)
        sgd_update(variables, momenta, gradients, **rule, apply=False)
        moving_average(averages, momenta, 0.999)
        accumulate(sums, gradients, 0.25)
        accumulate(sums, halves["float16"], 0.25)
        set_zero(zeros)
        norm = global_norm(gradients)
        found = {"variables": variables, "momenta": momenta, "sums": sums, "averages": averages, "zeros": zeros}
        return {"norm": norm, **halves, **{name: [v.read_value() for v in values] for name, values in found.items()}}

    names = ("SgdUpdate", "GlobalNorm", "Accumulate", "MovingAverage", "SetZero", "Cast")
    return Case("multi_tensor", tuple(f"Awsdet{name}" for name in names), arrays, call)


def adamw_case(random, sizes):
    """Updates of all variables of a Mask R-CNN R50-FPN, of which one is left out."""
    shapes = MASK_RCNN_R50_FPN[: sizes.variables]
    kinds = ("variables", "first", "second", "gradients")
    arrays = {kind: [random.standard_normal(shape, np.float32) for shape in shapes] for kind in kinds}
    arrays["second"] = [np.square(value) for value in arrays["second"]]
    rule = {"learning_rate": 2e-4, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    own = {"rate_factors": [1.0, 0.7] * len(shapes), "weight_decays": [0.05, 0.05, 0.0] * len(shapes)}
    rule.update((name, values[: len(shapes)]) for name, values in own.items())

    def call(variables, first, second, gradients):
        halves = cast(gradients, "float16")
        lists = [[tf.Variable(value, trainable=False) for value in values] for values in (variables, first, second)]
        applied = tf.Variable(tf.zeros([], tf.int64), trainable=False)
        adamw_update(*lists, gradients, applied, **rule, factor=0.5)
        adamw_update(*lists, halves, applied, **rule)
        adamw_update(*lists, gradients, applied, **rule, apply=False)
        values = [[variable.read_value() for variable in variables] for variables in lists]
        return {"applied": applied.read_value(), **dict(zip(kinds, values))}

    return Case("adamw", ("AwsdetAdamwUpdate", "AwsdetCast"), arrays, call)


ALL = (
    *(roi_align_case(dtype, size) for dtype in DTYPES for size in (7, 14)),
    *(cell_windows_case(dtype) for dtype in DTYPES),
    *(affine_case(dtype, norm) for dtype in DTYPES for norm in (True, False)),
    anchors_case,
    *(match_case(truth) for truth in (False, True)),
    *(sample_case(truth) for truth in (False, True)),
    *(top_boxes_case(dtype, 1) for dtype in DTYPES),
    top_boxes_case(tf.float32, 80),
    *(decode_boxes_case(dtype) for dtype in DTYPES),
    nms_case("hard", True),
    *(nms_case(method, False) for method in ("hard", "linear", "gaussian")),
    update_case,
    adamw_case,
)

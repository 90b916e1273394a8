"""The compiled NMS against the definition, box by box, and against its twin."""

import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.nms import nms
from awsdet.ops.reference import nms as plain
from tests.ops import fuzz
from tests.parity import ops as parity

METHODS = ("hard", "linear", "gaussian")
FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "parity" / "ops.npz"


def nms_by_definition(boxes, scores, classes, *, iou_threshold, score_threshold, max_output, method="hard", sigma=0.5):
    """Indices and scores of one image, in float32: the best box, then the best of the remaining ones, and so on."""
    one, scores = np.float32(1), scores.copy()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.isfinite(boxes).all(axis=1) & (scores > np.float32(score_threshold))
    kept = []
    while left.any() and len(kept) < max_output:
        best = np.argmax(np.where(left, scores, -np.inf))
        kept.append((best, scores[best]))
        left[best] = False
        size = np.minimum(boxes[best, 2:], boxes[:, 2:]) - np.maximum(boxes[best, :2], boxes[:, :2])
        common = np.prod(np.maximum(size, 0), axis=1, dtype=np.float32)
        near = (common > 0) & (classes == classes[best])
        iou = np.divide(common, area[best] + area - common, out=np.zeros_like(common), where=near)
        if method == "hard":
            left &= ~(iou > np.float32(iou_threshold))
        elif method == "linear":
            scores *= np.where(iou >= np.float32(iou_threshold), one - iou, one)
        else:
            scores *= np.exp(-(iou * iou) / np.float32(sigma))
        left &= scores > np.float32(score_threshold)
    return kept


def random_scene(random, images, count, classes=3, span=80.0):
    """Boxes that overlap a lot; a tenth of them are empty or inside out."""
    corner = random.uniform(-20, span, (images, count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(-3, 30, (images, count, 2))], axis=2).astype(np.float32)
    scores = random.uniform(size=(images, count)).astype(np.float32)
    return boxes, scores, random.integers(-classes, classes, (images, count)).astype(np.int32)


def assert_as_defined(boxes, scores, classes, **options):
    kept = nms(boxes, scores, classes, **options)
    with np.errstate(all="ignore"):
        for image in range(len(boxes)):
            expected = nms_by_definition(boxes[image], scores[image], classes[image], **options)
            count = kept.count[image]
            assert kept.indices[image, :count].numpy().tolist() == [index for index, _ in expected]
            np.testing.assert_allclose(kept.scores[image, :count], [score for _, score in expected], rtol=1e-5)
            assert not np.any(kept.indices[image, count:]) and not np.any(kept.scores[image, count:])
            assert_gathered(kept, boxes, classes, image)
    return kept


def assert_gathered(kept, boxes, classes, image):
    """Boxes and classes are those that the indices name, and nothing stands in the places that are left."""
    count, indices = int(kept.count[image]), kept.indices[image].numpy()
    assert kept.valid[image].numpy().tolist() == [place < count for place in range(len(indices))]
    np.testing.assert_array_equal(kept.boxes[image, :count], boxes[image, indices[:count]])
    np.testing.assert_array_equal(kept.classes[image, :count], classes[image, indices[:count]])
    assert not np.any(kept.boxes[image, count:]) and np.all(kept.classes[image, count:] == -1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_definition(method, seed):
    random = np.random.default_rng(seed)
    images, count = int(random.integers(1, 4)), int(random.choice([1, 15, 16, 17, 70, 600]))
    boxes, scores, classes = random_scene(random, images, count, classes=int(random.choice([1, 3, 400])))
    for iou_threshold in (0.0, 0.3, 0.7, 1.0):
        limit = int(random.choice([1, 10, count, count + 7]))
        options = {"iou_threshold": iou_threshold, "score_threshold": 0.1, "max_output": limit, "method": method}
        assert_as_defined(boxes, scores, classes, **options)


@pytest.mark.parametrize("scale", (1e-14, 1e-6, 1.0, 1e6, 1e16))
@pytest.mark.parametrize("away", (0.0, 1e5))
def test_many_kept_boxes_of_any_size_anywhere(scale, away):
    """More boxes than are compared one by one; far from the origin, coordinates are coarse and IoUs tie."""
    random = np.random.default_rng(8)
    center = random.uniform(0, 400, (1, 900, 2))[:, random.integers(0, 500, 900)]
    size = np.exp(random.uniform(-1, 5, (1, 900, 2)))
    center += 0.1 * size * random.normal(size=size.shape)
    boxes = scale * (away + np.concatenate([center - size / 2, center + size / 2], axis=2))
    scores = random.uniform(size=(1, 900)).astype(np.float32)
    classes = random.integers(0, 2, (1, 900)).astype(np.int32)
    for iou_threshold in (0.1, 0.25, 0.5, 0.7, 0.95):
        options = {"iou_threshold": iou_threshold, "score_threshold": 0.0, "max_output": 900}
        assert_as_defined(boxes.astype(np.float32), scores, classes, **options)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_depend_on_its_batch(method):
    boxes, scores, classes = random_scene(np.random.default_rng(9), 5, 500)
    options = {"iou_threshold": 0.5, "score_threshold": 0.1, "max_output": 60, "method": method}
    together = nms(boxes, scores, classes, **options)
    for image in range(5):
        alone = nms(boxes[image : image + 1], scores[image : image + 1], classes[image : image + 1], **options)
        for ours, theirs in zip(alone, together):
            assert np.array_equal(ours[0], theirs[image])


@pytest.mark.parametrize("method", METHODS)
def test_ties_in_score_keep_their_order(method):
    boxes, scores, classes = random_scene(np.random.default_rng(7), 2, 400)
    assert_as_defined(
        np.round(boxes / 4) * 4,  # so that IoUs tie, too
        np.round(scores * 8).astype(np.float32) / 8,
        classes,
        iou_threshold=0.5,
        score_threshold=0.0,
        max_output=300,
        method=method,
    )


def test_zero_and_minus_zero_are_one_score():
    boxes = np.float32([[[0, 0, 1, 1], [2, 0, 3, 1], [4, 0, 5, 1]]])
    kept = nms(boxes, np.float32([[-0.0, 0.0, -0.0]]), iou_threshold=0.5, score_threshold=-1.0, max_output=3)
    assert kept.indices.numpy().tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_the_twin(method):
    twin_in_a_graph = tf.function(plain.nms)  # loops are faster there
    boxes, scores, classes = random_scene(np.random.default_rng(3), 2, 600)
    scores[0, ::7], boxes[1, ::9, 2], boxes[0, 5::9, 1], scores[1, 3] = np.nan, np.inf, np.nan, np.inf
    for limit in (0, 40, 600):
        options = {"iou_threshold": 0.4, "score_threshold": 0.05, "max_output": limit, "method": method, "sigma": 0.3}
        ours, twin = nms(boxes, scores, classes, **options), twin_in_a_graph(boxes, scores, classes, **options)
        for part in ("indices", "count", "boxes", "classes", "valid"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(twin, part))
        np.testing.assert_allclose(ours.scores, twin.scores, rtol=1e-5)


def both_operators(method, iou_threshold, score_threshold, limit):
    """A graph that takes every size, because loops are faster there."""
    options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold, "max_output": limit}
    signature = [tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None]), tf.TensorSpec([None, None], tf.int32)]
    return tf.function(
        lambda *scene: [operator(*scene, **options, method=method) for operator in (nms, plain.nms)],
        input_signature=signature,
    )


def compare_random_images(random, method, graphs):
    images, classes = fuzz.images(random), int(random.choice([1, 3, 40]))
    count = int(random.choice([0, 1, 2, 15, 16, 17, *([] if images > 3 else [70, 300])]))
    boxes, scores, classes = random_scene(random, images, count, classes, span=float(random.choice([5, 80])))
    if random.integers(2):  # ties of scores and overlaps
        boxes, scores = np.round(boxes / 4) * 4, (np.round(8 * scores) / 8).astype(np.float32)
    odd = random.random((images, count)) < random.choice([0, 0.1])
    boxes[..., 1] = np.where(odd, random.choice([np.nan, np.inf], odd.shape), boxes[..., 1])
    scores = np.where(random.random(odd.shape) < 0.02, np.float32(np.nan), scores)
    options = (float(random.choice([0.0, 0.3, 0.7])), float(random.choice([0.0, 0.2])), int(random.choice([1, 30])))
    ours, twin = graphs(method, *options)(boxes, scores, classes)
    for part in ("indices", "count", "boxes", "classes", "valid"):
        np.testing.assert_array_equal(getattr(ours, part), getattr(twin, part))
    np.testing.assert_allclose(ours.scores, twin.scores, rtol=1e-5)
    return images


@pytest.mark.parametrize("method", METHODS)
def test_random_images_equal_the_twin(method):
    graphs = functools.cache(both_operators)
    fuzz.run(functools.partial(compare_random_images, method=method, graphs=graphs), -(-fuzz.CASES // 3))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_not_there(method):
    boxes, scores, classes = random_scene(np.random.default_rng(11), 1, 300)
    bad = np.arange(300) % 3 == 0
    for value in (np.nan, np.inf, -np.inf):
        for side in range(4):
            broken = boxes.copy()
            broken[0, bad, side] = value
            options = {"iou_threshold": 0.5, "score_threshold": 0.2, "max_output": 300, "method": method}
            kept = nms(broken, scores, classes, **options)
            rest = nms(boxes[:, ~bad], scores[:, ~bad], classes[:, ~bad], **options)
            assert np.array_equal(
                kept.indices[0, : kept.count[0]], np.flatnonzero(~bad)[rest.indices[0, : rest.count[0]]]
            )
    scores[0, bad] = np.nan
    assert not np.isin(nms(boxes, scores, classes, **options).indices[0, : kept.count[0]], np.flatnonzero(bad)).any()


def test_huge_and_tiny_boxes():
    """Areas beyond float32 have no IoU, as in the reference; exact duplicates of ordinary size go at any threshold."""
    huge, tiny = [-3e38, -3e38, 3e38, 3e38], [0, 0, 1e-15, 1e-15]
    boxes = np.float32([[huge, huge, tiny, tiny, [0, 0, 1e5, 1e5], [0, 0, 1e5, 1e5]]])
    scores = np.linspace(0.9, 0.1, 6, dtype=np.float32)[None]
    kept = nms(boxes, scores, iou_threshold=0.99, score_threshold=0.0, max_output=6)
    assert kept.indices[0, : kept.count[0]].numpy().tolist() == [0, 1, 2, 4]


def test_iou_at_the_threshold_is_decided_as_the_reference_does():
    """The quotient in float32 is compared, strictly: every threshold between neighbouring floats around an IoU."""
    random = np.random.default_rng(5)
    boxes, scores, classes = random_scene(random, 1, 2, classes=1, span=-10.0)
    for _ in range(200):
        corner = random.uniform(0, 300, (1, 2, 2)).astype(np.float32)
        boxes[0] = np.concatenate([corner[0], corner[0] + random.uniform(300, 600, (2, 2))], axis=1)
        (first, second), size = boxes[0], boxes[0, :, 2:] - boxes[0, :, :2]
        common = np.prod(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), dtype=np.float32)
        iou = common / (size[0, 0] * size[0, 1] + size[1, 0] * size[1, 1] - common)
        for threshold in (np.nextafter(iou, np.float32(0)), iou, np.nextafter(iou, np.float32(1))):
            kept = nms(boxes, scores, iou_threshold=float(threshold), score_threshold=0.0, max_output=2)
            assert kept.count[0] == (1 if iou > threshold else 2)


def test_many_boxes_with_one_class_each_are_all_kept():
    boxes, scores, _ = random_scene(np.random.default_rng(2), 1, 5000)
    classes = np.random.default_rng(3).permutation(np.arange(-(2**31), 2**31, 2**32 // 5000)[:5000])
    kept = nms(boxes, scores, classes[None].astype(np.int32), iou_threshold=0.0, score_threshold=-1.0, max_output=5000)
    assert kept.indices[0].numpy().tolist() == np.argsort(-scores[0], kind="stable").tolist()


def test_proposals_of_five_levels_with_early_stop_and_without():
    """Many boxes, so that all branches run: rounds, radix sort, several vectors of kept boxes."""
    boxes, scores, _ = random_scene(np.random.default_rng(4), 2, 3000, span=350.0)
    levels = np.repeat(np.arange(5, dtype=np.int32), 600)[None].repeat(2, axis=0)
    full = assert_as_defined(boxes, scores, levels, iou_threshold=0.3, score_threshold=0.0, max_output=3000)
    for limit in (1, 100, 700):
        some = nms(boxes, scores, levels, iou_threshold=0.3, score_threshold=0.0, max_output=limit)
        assert np.array_equal(some.indices, full.indices[:, :limit])


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_keep_and_no_images(method):
    options = {"iou_threshold": 0.5, "score_threshold": 0.5, "method": method}
    for images, count, limit in ((0, 5, 3), (2, 0, 3), (2, 5, 0), (2, 5, 3)):
        zeros = (tf.zeros([images, count, 4]), tf.zeros([images, count]), tf.zeros([images, count], tf.int32))
        kept = nms(*zeros, max_output=limit, **options)
        assert kept.indices.shape == kept.scores.shape == (images, limit)
        assert kept.count.numpy().tolist() == [0] * images and not np.any(kept.indices) and not np.any(kept.scores)
        assert kept.boxes.shape == (images, limit, 4) and not np.any(kept.boxes)
        assert kept.classes.shape == kept.valid.shape == (images, limit)
        assert np.all(kept.classes == -1) and not np.any(kept.valid)


def test_static_shapes_survive_a_graph():
    @tf.function(
        input_signature=[tf.TensorSpec([3, None, 4]), tf.TensorSpec(None), tf.TensorSpec([None, 50], tf.int32)]
    )
    def graph(boxes, scores, classes):
        kept = nms(boxes, scores, classes, iou_threshold=0.5, score_threshold=0.0, max_output=7)
        assert kept.indices.shape == kept.scores.shape == [3, 7] and kept.count.shape == [3]
        assert kept.classes.shape == kept.valid.shape == [3, 7] and kept.boxes.shape == [3, 7, 4]
        return kept

    inputs = random_scene(np.random.default_rng(0), 3, 50)
    eager = nms(*inputs, iou_threshold=0.5, score_threshold=0.0, max_output=7)
    for ours, theirs in zip(graph(*inputs), eager):
        assert np.array_equal(ours, theirs)

    @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)])
    def unknown(boxes, scores):
        return nms(boxes, scores, iou_threshold=0.5, score_threshold=0.0, max_output=7)

    assert unknown(*inputs[:2]).indices.shape == [3, 7]


def test_boxes_in_order_give_the_same():
    boxes, scores, classes = random_scene(np.random.default_rng(12), 3, 500)
    scores[:, ::11] = np.nan  # not above the threshold, so it may lie anywhere
    options = {"iou_threshold": 0.5, "score_threshold": 0.2, "max_output": 100}
    order = np.lexsort((-np.nan_to_num(scores), classes), axis=1)
    sorted_inputs = [np.take_along_axis(values, order, axis=1) for values in (scores, classes)]
    inputs = np.take_along_axis(boxes, order[..., np.newaxis], axis=1), *sorted_inputs
    for ours, theirs in zip(nms(*inputs, **options, in_order=True), nms(*inputs, **options)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("scores", "classes", "named"),
    [([3, 2, 2.5], [1, 1, 1], "scores of image 1"), ([3, 2, 1], [1, 0, 1], "classes of image 1")],
)
def test_broken_order_is_named(scores, classes, named):
    boxes = np.tile(np.float32([0, 0, 1, 1]), (2, 3, 1))
    scores, classes = np.float32([[3, 2, 2], scores]), np.int32([[5, 5, 4], classes])
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"nms: {named} are not in order"):
        nms(boxes, scores, classes, iou_threshold=0.5, score_threshold=0.0, max_output=3, in_order=True)


def test_no_gradient():
    boxes, scores, classes = (tf.constant(values) for values in random_scene(np.random.default_rng(0), 1, 20))
    with tf.GradientTape() as tape:
        tape.watch([boxes, scores])
        kept = nms(boxes, scores, classes, iou_threshold=0.5, score_threshold=0.0, max_output=7).scores
    assert tape.gradient(kept, [boxes, scores]) == [None, None]


def nms_with(**changes):
    """A valid call with some changes."""
    arguments = {
        "boxes": tf.zeros([2, 5, 4]),
        "scores": tf.zeros([2, 5]),
        "classes": tf.zeros([2, 5], tf.int32),
        "iou_threshold": 0.5,
        "score_threshold": 0.0,
        "max_output": 3,
    }
    return nms(**{**arguments, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": tf.zeros([5, 4])},
        {"boxes": tf.zeros([2, 5, 5])},
        {"boxes": tf.zeros([2, 5, 4], tf.float64)},
        {"scores": tf.zeros([2, 6])},
        {"scores": tf.zeros([5])},
        {"scores": tf.zeros([2, 5], tf.half)},
        {"classes": tf.zeros([2, 4], tf.int32)},
        {"classes": tf.zeros([2, 5], tf.int64)},
        {"iou_threshold": 1.5},
        {"iou_threshold": float("nan")},
        {"score_threshold": float("nan")},
        {"score_threshold": -0.1, "method": "linear"},
        {"max_output": -1},
        {"method": "soft"},
        {"sigma": 0.0},
        {"in_order": True, "method": "linear"},
    ],
    ids=str,
)
def test_wrong_argument_is_named(changes):
    with pytest.raises(tf.errors.InvalidArgumentError, match=next(iter(changes))):
        nms_with(**changes)


def test_wrong_shape_is_found_when_traced_and_when_run():
    with pytest.raises(ValueError, match="scores must be"):
        tf.function(nms_with)(scores=tf.zeros([2, 6]))
    unknown = tf.function(lambda scores: nms_with(scores=scores), input_signature=[tf.TensorSpec(None)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="scores must be"):
        unknown(tf.zeros([2, 6]))


def test_equals_the_reference():
    with np.load(FIXTURE) as file:
        arrays = {key: file[key] for key in file.files if "nms" in key}
    rows = parity.nms_rows(arrays)
    assert len(rows) == 10 and all(row.holds for row in rows)

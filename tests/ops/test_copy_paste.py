"""The compiled copy_paste against its twin, and both against scenes worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import copy_paste as compiled
from awsdet.ops.annotations import Annotations
from awsdet.ops.copy_paste import Scenes
from awsdet.ops.reference import copy_paste as plain
from awsdet.ops.reference.bitmap import box_around, mask_of, runs_of
from tests.ops import fuzz

HEIGHT, WIDTH = 40, 56  # of the canvas


def scenes_of(images, windows, objects):
    """Scenes. objects: of each image, (label, polygons, runs, is_crowd, box); box None: the one around the mask."""
    rows = max(map(len, objects), default=0) + 1
    boxes, classes = np.zeros((len(objects), rows, 4), np.float32), np.full((len(objects), rows), -1, np.int32)
    crowds = np.zeros((len(objects), rows), bool)
    for i, own in enumerate(objects):
        for row, (label, polygons, runs, is_crowd, box) in enumerate(own):
            mask = mask_of(polygons, runs, windows[i])
            box = box_around(mask) if box is None and mask.any() else box
            boxes[i, row], classes[i, row], crowds[i, row] = (0 if box is None else box), label, is_crowd
    polygons = [[one[1] for one in own] for own in objects]
    runs = [[one[2] for one in own] for own in objects]
    ragged = {"row_splits_dtype": tf.int64}
    annotations = Annotations(
        *map(tf.constant, (boxes, classes, crowds)),
        tf.ragged.constant(polygons, tf.float32, 3, **ragged),
        tf.ragged.constant(runs, tf.int32, 2, **ragged),
    )
    return Scenes(tf.constant(np.asarray(images, np.uint8)), tf.constant(windows, tf.int32), annotations)


def random_object(rng, label, window):
    """Polygons that may reach out of the window, run lengths, a crowd's box or a box alone."""
    kind, (height, width) = rng.integers(6), window
    box = np.sort(rng.uniform(0, [[width, height]], (2, 2)), axis=0).reshape(-1)
    if kind < 3:
        centre, count = rng.uniform(0, [width, height]), int(rng.integers(1, 3))
        parts = [
            np.float32(centre + rng.normal(0, rng.choice([0.3, 4, 12]), (int(rng.integers(2, 9)), 2))).reshape(-1)
            for _ in range(count)
        ]
        return label, [part.tolist() for part in parts], [], False, None if rng.integers(2) else box
    if kind == 3:
        mask = np.zeros(window, bool)
        for _ in range(int(rng.integers(3))):
            y, x = rng.integers(0, window)
            mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
        return label, [], runs_of(mask), False, None if rng.integers(2) else box
    return label, [], [], kind == 5, box


def random_scenes(rng, count):
    windows = np.where(
        rng.random((count, 1)) < 0.3, [[HEIGHT, WIDTH]], rng.integers([5, 5], [HEIGHT + 1, WIDTH + 1], (count, 2))
    )
    images = rng.integers(0, 256, (count, HEIGHT, WIDTH, 3))
    for image, (height, width) in zip(images, windows):
        image[height:], image[:, width:] = 0, 0
    objects = [
        [random_object(rng, int(rng.integers(80)), window) for _ in range(rng.integers(0, 7))] for window in windows
    ]
    return scenes_of(images, windows.tolist(), objects)


def assert_equal(found, expected):
    for one, other in zip(*(tf.nest.flatten(value, expand_composites=True) for value in (found, expected))):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def both(base, partner, **arguments):
    """The result of the operator, which must be its twin's."""
    found, expected = (module.copy_paste(base, partner, **arguments) for module in (compiled, plain))
    assert_equal(found, expected)
    return found


def test_random_scenes_equal_the_twin_in_every_bit():
    """Pixels, windows, boxes, masks, order and what is dropped."""

    def compare(rng):
        count = int(rng.integers(1, 6))
        base, partner = random_scenes(rng, count), random_scenes(rng, count)
        draws = {"share": rng.random(count, np.float32), "key": rng.integers(-(2**63), 2**63 - 1, count)}
        both(base, partner, rows=14, most=int(rng.integers(0, 8)), box_shift=4.0, least_pixels=30, **draws)
        return count

    fuzz.run(compare, fuzz.CASES // 10 if fuzz.CASES <= 1000 else fuzz.CASES)


def square(x, y, side):
    return [float(value) for value in (x, y, x + side, y, x + side, y + side, x, y + side)]


def one_scene(colour, objects, window=(HEIGHT, WIDTH)):
    image = np.zeros((HEIGHT, WIDTH, 3))
    image[: window[0], : window[1]] = colour
    return scenes_of([image], [list(window)], [objects])


def pasted(base, partner, **changes):
    arguments = {"share": [0.999], "key": [7], "rows": 9, "most": 100, **changes}
    return both(base, partner, **arguments)


def labels(scenes):
    return [label for label in scenes.annotations.classes[0].numpy().tolist() if label >= 0]


def test_occluded_objects_are_cut_and_hidden_ones_dropped():
    base = one_scene(
        10,
        [
            (1, [square(0, 0, 20)], [], False, None),  # loses a corner
            (2, [square(14, 14, 4)], [], False, None),  # is hidden
            (3, [square(40, 20, 8.5)], [], False, None),  # is far away
            (4, [], [], True, [8, 8, 30, 30]),
            (5, [], [], False, [12, 12, 18, 18]),  # has no mask that could be cut
        ],
    )
    found = pasted(base, one_scene(200, [(9, [square(12, 12, 10)], [], False, None)]))
    assert labels(found) == [1, 3, 4, 5, 9]
    boxes, annotations = found.annotations.boxes[0].numpy().tolist(), found.annotations
    assert boxes[:5] == [[0, 0, 20, 20], [40, 20, 48, 28], [8, 8, 30, 30], [12, 12, 18, 18], [12, 12, 22, 22]]
    left = mask_of([], annotations.rles[0, 0].numpy(), [HEIGHT, WIDTH])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:20, :20], expected[12:20, 12:20] = True, False
    np.testing.assert_array_equal(left, expected)
    assert annotations.polygons[0].to_list()[1] == [square(40, 20, 8.5)] and annotations.rles[0, 1].shape[0] == 0
    assert annotations.is_crowd[0].numpy().tolist()[:5] == [False, False, True, False, False]
    image = found.images[0].numpy()
    assert (image[12:22, 12:22] == 200).all() and (image == 200).sum() == 300


@pytest.mark.parametrize(
    "box_shift, least_pixels, kept", [(10.0, 300, False), (16.0, 300, True), (10.0, 79, True), (10.0, 80, False)]
)
def test_objects_of_which_too_little_is_left_are_dropped(box_shift, least_pixels, kept):
    """Of 20 x 20 pixels, 20 x 4 are left: a side moves by 16."""
    base, partner = (one_scene(10, [(label, [square(0, y, 20)], [], False, None)]) for label, y in ((1, 0), (2, 4)))
    found = pasted(base, partner, box_shift=box_shift, least_pixels=least_pixels)
    assert labels(found) == ([1, 2] if kept else [2])


def test_an_empty_base_takes_objects_and_an_empty_partner_gives_none():
    empty, full = one_scene(10, []), one_scene(200, [(3, [square(5, 5, 9)], [], False, None)])
    assert labels(pasted(empty, full)) == [3]
    found = pasted(full, empty)
    assert labels(found) == [3] and (found.images.numpy() == 200).all()
    assert labels(pasted(empty, empty)) == []


def test_objects_without_mask_or_pixel_and_crowds_are_not_pasted():
    objects = [
        (1, [], [], False, [2, 2, 9, 9]),
        (2, [], [], True, [2, 2, 9, 9]),
        (3, [], [HEIGHT * WIDTH], False, [2, 2, 9, 9]),
        (4, [square(3.6, 3.6, 0.3)], [], False, [3, 3, 4, 4]),  # no pixel's centre
    ]
    found = pasted(one_scene(10, []), one_scene(200, objects))
    assert labels(found) == [] and not (found.images.numpy() == 200).any()


@pytest.mark.parametrize(
    "theirs, share",
    [
        ([(9, [square(2, 2, 5)], [], False, None)], 0.0),  # none is drawn
        ([(9, [square(45, 35, 5)], [], True, [1, 1, 5, 5]), (8, [], [], False, [1, 1, 5, 5])], 0.999),  # none can be
        ([(9, [square(2.6, 2.6, 0.3)], [], False, [2, 2, 3, 3])], 0.999),  # it covers no pixel's centre
    ],
)
def test_an_image_that_gets_nothing_stays_as_it_is(theirs, share):
    """Also if the partner's window is larger."""
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:30] = True
    base = one_scene(10, [(1, [square(5, 5, 9)], [], False, None), (2, [], runs_of(mask), False, None)], (20, 30))
    found = pasted(base, one_scene(200, theirs), share=[share], rows=3)
    assert_equal(found, base)


def test_the_frame_holds_both_windows():
    """Run lengths are those of the frame, and a polygon that reached out of its window shows no more than before."""
    runs = runs_of(mask_of([square(2, 2, 5)], [], [10, 50]))
    base = one_scene(10, [(1, [], runs, False, None), (2, [square(30, 4, 8)], [], False, None)], (10, 50))
    found = pasted(base, one_scene(200, [(3, [square(20, 20, 9)], [], False, None)], (30, 24)))
    assert found.window.numpy().tolist() == [[30, 50]] and labels(found) == [1, 2, 3]
    masks = found.annotations.rles[0]
    np.testing.assert_array_equal(mask_of([], masks[0].numpy(), [30, 50]), mask_of([square(2, 2, 5)], [], [30, 50]))
    assert mask_of([], masks[1].numpy(), [30, 50]).sum() == 8 * 6
    assert mask_of([], masks[2].numpy(), [30, 50]).sum() == 9 * 4  # cut at the partner's window
    assert (found.images[0, 20:29, 20:24].numpy() == 200).all() and not found.images[0, 20:29, 24:].numpy().any()


def test_all_numbers_and_objects_are_drawn_evenly():
    """From none to all of four, or to `most`; each object as often as the others."""
    partner = one_scene(200, [(label, [square(10 * label, 5, 4)], [], False, None) for label in range(4)])
    objects, rng = plain._objects(partner, 0), np.random.default_rng(1)
    for most, counts in ((100, 5), (2, 3)):
        drawn = [plain.draw_objects(objects, rng.random(), int(rng.integers(2**63)), most) for _ in range(2000)]
        assert np.bincount([len(rows) for rows in drawn]) == pytest.approx(np.full(counts, 2000 / counts), rel=0.15)
        single = np.concatenate([rows for rows in drawn if len(rows) == 1])
        assert np.bincount(single) == pytest.approx(np.full(4, len(single) / 4), rel=0.25)
    assert labels(pasted(one_scene(1, []), partner, share=[0.0])) == []
    assert labels(pasted(one_scene(1, []), partner)) == [0, 1, 2, 3]
    assert len(labels(pasted(one_scene(1, []), partner, most=2))) == 2


def test_wrong_arguments_are_named():
    base, partner = one_scene(1, []), one_scene(2, [(1, [square(1, 1, 9)], [], False, None)])
    runs = one_scene(2, [(1, [], [5, 5, HEIGHT * WIDTH - 10], False, None)])
    short = runs.annotations._replace(rles=runs.annotations.rles.with_flat_values(tf.constant([5, 5, 9])))
    no_rows = partner.annotations._replace(classes=tf.zeros([1, 0], tf.int32))
    larger = tf.pad(partner.images, [[0, 0], [0, 1], [0, 0], [0, 0]])
    for left, right, changes, message in [
        (base, partner, {"share": [1.0]}, "share must be 0 at least and below 1, got 1"),
        (base, partner, {"share": [np.nan]}, "share must be 0 at least"),
        (base, partner, {"rows": 0}, "rows is 0, but image 0 may have 1 objects"),
        (base._replace(window=[[HEIGHT + 1, 2]]), partner, {}, " window 41 x 2 does not lie in an image of 40 x 56"),
        (base, partner._replace(window=[[0, 2]]), {}, "partner_window 0 x 2 does not lie"),
        (base, partner._replace(images=larger), {}, "partner_images must be as large as images"),
        (base, runs._replace(annotations=short), {}, "partner_runs do not fit a window"),
        (base, partner._replace(annotations=no_rows), {}, "partner_boxes must be as long as classes"),
    ]:
        arguments = {"share": [0.5], "key": [7], "rows": 9, "most": 100, **changes}
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            compiled.copy_paste(left, right, **arguments)

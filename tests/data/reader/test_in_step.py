"""Whether image, boxes and masks stay in step, for random placements and through the whole reader.

The reference is slow and obvious: for every pixel of a window it computes where its centre was in the source.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet import config
from awsdet.data.coco.masks import run_lengths
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.convert import convert
from awsdet.detection import mask_areas
from awsdet.ops.annotations import place_annotations
from awsdet.ops.mask_targets import polygon_targets
from awsdet.ops.placement import Placement
from awsdet.ops.resize import resize


def random_placement(rng):
    """(size, corner, window, flip) of one image."""
    size = np.exp(rng.uniform(np.log(4), np.log(130), 2)).astype(int)
    window = np.maximum((size * rng.uniform(0.1, 1, 2)).astype(int), 1) if rng.random() < 0.9 else size
    return size, rng.integers(0, size - window + 1), window, bool(rng.integers(2))


def source_points(original_size, size, corner, window, flip, per_pixel=1):
    """x, y, in px of the source, of the centres of the window's pixels, or of a finer grid."""
    y, x = np.meshgrid(*((np.arange(side * per_pixel) + 0.5) / per_pixel for side in window), indexing="ij")
    x, y = x + corner[1], y + corner[0]
    x = size[1] - x if flip else x
    return x * original_size[1] / size[1], y * original_size[0] / size[0]


def even_odd(part, x, y):
    """(which points lie in a polygon, which are too near to its outline to tell)."""
    points, inside, near = np.reshape(part, (-1, 2)), np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0)):
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay + (by == ay)) + ax)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
        near |= np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)) < 1e-3
    return inside, near


def star(rng, width, height):
    """A concave polygon that may reach out of the image, as x0 y0 x1 y1 …"""
    angles, reach = np.sort(rng.uniform(0, 2 * np.pi, 11)), rng.uniform(4, 35, 11)
    x, y = rng.uniform(0, width) + reach * np.cos(angles), rng.uniform(0, height) + reach * np.sin(angles)
    return np.stack([x, y], axis=1).reshape(-1).tolist()


def stored_lists(boxes, parts, masks):
    """The record of rows, each of which has a box x, y, width, height and one polygon or one mask."""
    runs = [run_lengths(mask) if mask is not None else [] for mask in masks]
    kept = [part for part in parts if part is not None]

    def ints(values):
        return tf.constant(np.asarray(values, np.int64).reshape(-1))

    def doubles(values):
        return tf.constant(np.asarray(values, "<f8").tobytes())

    return {
        "trainable": tf.constant(len(boxes), tf.int64),
        "classes": ints(np.arange(len(boxes))),
        "is_crowd": ints(np.zeros(len(boxes))),
        "boxes": doubles(boxes),
        "polygon_parts": ints([part is not None for part in parts]),
        "polygon_lengths": ints([len(part) for part in kept]),
        "polygon_numbers": doubles(np.concatenate([[], *kept])),
        "rle_runs": ints([len(row) for row in runs]),
        "rle_counts": ints(np.concatenate([[], *runs])),
    }


def blob(rng, height, width):
    """bool mask of a few rectangles, one object in pieces."""
    mask = np.zeros((height, width), bool)
    for _ in range(3):
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
    return mask


def tight_box(x1, y1, x2, y2, width, height):
    x1, x2, y1, y2 = (*np.clip([x1, x2], 0, width), *np.clip([y1, y2], 0, height))
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.mark.parametrize("seed", range(60))
def test_random_placements(seed):
    """An object of run lengths, which the picture shows, and an object of a polygon, in a random window."""
    rng = np.random.default_rng(1000 + seed)
    height, width = (int(side) for side in np.exp(rng.uniform(np.log(8), np.log(90), 2)))
    mask, part = blob(rng, height, width), star(rng, width, height)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = np.reshape(part, (-1, 2))
    boxes = [
        tight_box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, width, height),
        tight_box(*corners.min(axis=0), *corners.max(axis=0), width, height),
    ]
    size, corner, window, flip = where = random_placement(rng)
    placement = Placement(*(tf.constant([value], tf.int32) for value in (size, corner, window)), tf.constant([flip]))
    picture = resize([np.repeat(mask[:, :, None] * np.uint8(255), 3, axis=2)], placement)[0, :, :, 0].numpy()
    stored = stored_lists(boxes, [None, part], [mask, None])
    found = place_annotations([stored], original_size=[[height, width]], placement=placement, rows=2)
    x, y = source_points((height, width), *where)
    place = {label: row for row, label in enumerate(found.classes[0].numpy()) if label >= 0}
    for label, (left, top, wide, high) in enumerate(boxes):
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        if label not in place:
            assert inside.any(axis=0).sum() <= 1 or inside.any(axis=1).sum() <= 1 or not shown(label, mask, part, x, y)
            continue
        x1, y1, x2, y2 = found.boxes[0, place[label]].numpy()
        assert 0 <= x1 <= x2 <= window[1] and 0 <= y1 <= y2 <= window[0]
        middles = np.arange(window[1]) + 0.5, np.arange(window[0]) + 0.5
        far = [
            np.abs(np.subtract.outer(axis, ends)).min(axis=1) > 1e-3
            for axis, ends in zip(middles, ((x1, x2), (y1, y2)))
        ]
        ours = np.outer((middles[1] > y1) & (middles[1] < y2), (middles[0] > x1) & (middles[0] < x2))
        np.testing.assert_array_equal(ours[far[1]][:, far[0]], inside[far[1]][:, far[0]])
    if 0 in place:
        runs = found.rles[0, place[0]].numpy().tolist()
        decoded = coco_mask.decode(coco_mask.frPyObjects({"size": window.tolist(), "counts": runs}, *window.tolist()))
        # The picture blends neighbours. The mask must agree wherever the picture is all object or all background.
        assert decoded[picture == 255].all() and not decoded[picture == 0].any()
        assert (decoded == mask[y.astype(int).clip(0, height - 1), x.astype(int).clip(0, width - 1)]).mean() > 0.99
    if 1 in place:
        check_polygon(found, place[1], part, where, (height, width))


def bitmap(polygons, height, width):
    """bool [height, width] of the ragged polygons of one object, by the model's own rasteriser."""
    side = int(max(height, width))
    target = polygon_targets(polygons, [0], tf.constant([[0, 0, side, side]], tf.float32), side)
    return target[0].numpy()[:height, :width] > 0


def shown(label, mask, part, x, y):
    """Whether the object's mask has a pixel in the window."""
    inside = mask[y.astype(int), x.astype(int)] if label == 0 else even_odd(part, x, y)[0]
    return inside.any()


def check_polygon(found, row, part, where, original_size):
    """The placed polygon has the pixels, the area and the shares in boxes of the source polygon in the window."""
    window, polygons = where[2], found.polygons[0][row : row + 1]
    points = np.reshape(polygons.flat_values, (-1, 2))
    is_whole = (where[2] == where[0]).all()
    assert is_whole or ((points >= 0).all() and (points <= window[::-1]).all())
    target = bitmap(polygons, *window)
    x, y = source_points(original_size, *where)
    inside, near = even_odd(part, x, y)
    scale = np.array(original_size) / where[0]
    near |= even_odd(part, x + 1e-3 * scale[1], y + 1e-3 * scale[0])[0] != inside
    np.testing.assert_array_equal(target[~near], inside[~near])
    if is_whole:
        return  # such a polygon may reach out of the window
    fine_inside, _ = even_odd(part, *source_points(original_size, *where, per_pixel=4))
    everywhere, half = [-1e6, -1e6, 1e6, 1e6], [0, 0, window[1] / 2, window[0]]
    areas = [
        mask_areas.polygon_areas(polygons, tf.constant([box], tf.float32))[0].numpy() for box in (everywhere, half)
    ]
    columns = fine_inside.shape[1] // 2
    halved = fine_inside[:, :columns].sum() + 0.5 * (fine_inside.shape[1] % 2) * fine_inside[:, columns].sum()
    outline = np.hypot(*window)
    assert areas[0] == pytest.approx(fine_inside.sum() / 16, abs=0.03 * outline + 0.3, rel=0.01)
    assert areas[1] == pytest.approx(halved / 16, abs=0.03 * outline + 0.3, rel=0.01)


# ------------------------------------------------------------------------------------------------ through the reader

AUGMENTED = {
    "crop": {"crop": (0.3, 0.3), "short_sides": (64, 160), "max_long_side": 300, "min_visible": 0.2},
    "crop at objects": {"crop": (0.2, 0.2), "crop_keeps_object": True, "short_side_range": (64, 160)},
    "jitter": {"canvas": 160, "jitter_scales": (0.1, 2.0)},
    "jitter at objects": {"canvas": 96, "jitter_scales": (0.5, 3.0), "crop_keeps_object": True},
}
# What pastes objects has several of a class per image; test_partners.py looks at these.
WITH_PASTED = {
    **AUGMENTED,
    "copy-paste": {"canvas": 96, "jitter_scales": (0.5, 1.5), "copy_paste": 0.6, "boxes_from_masks": True},
}
COLOURS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update(changes)
    return reader_options(settings)


def batches(manifest, *, rank=0, world_size=1, start_step=0, **changes):
    world = {"rank": rank, "world_size": world_size, "start_step": start_step}
    return list(train_dataset(manifest, options(**changes), seed=5, epochs=2, **world).dataset)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Records of images that show object 0 in red and object 1 in green, on blue noise; some of 1 px, some empty."""
    folder, rng = tmp_path_factory.mktemp("painted"), np.random.default_rng(21)
    images, annotations = [], []
    for number in range(1, 18):
        height, width = (1, 1) if number == 4 else (int(side) for side in rng.integers(24, 140, 2))
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, :, 2] = rng.integers(0, 256, (height, width))
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        for label in range(0 if number in (4, 9) else 2):
            if label == 0:
                mask = blob(rng, height, width)
                segmentation = {"size": [height, width], "counts": run_lengths(mask)}
            else:
                part = np.round(star(rng, width, height), 2).tolist()
                x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
                mask, segmentation = even_odd(part, x, y)[0], [part]
            if not mask.any():
                continue
            pixels[mask, label] = 255
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": label, "bbox": [int(v) for v in box]}
                | {"segmentation": segmentation, "area": int(mask.sum()), "iscrowd": 0}
            )
        Image.fromarray(pixels).save(folder / f"{number}.png")
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 0, "name": "red"}, {"id": 1, "name": "green"}]
    (folder / "a.json").write_text(json.dumps(content))
    return convert(folder / "a.json", folder, folder / "records", "train", shards=2, workers=1)


@pytest.mark.parametrize("changes", AUGMENTED.values(), ids=list(AUGMENTED))
def test_masks_and_boxes_are_where_the_picture_shows_them(painted, changes):
    """Red masks are exact, green masks up to the pixels of the outline; objects without a row are hardly visible."""
    rows = dropped = 0
    for batch in batches(painted, batch_size=3, **changes):
        assert batch["image"].shape[1] % 32 == 0 and batch["image"].shape[2] % 32 == 0
        if changes.get("canvas"):
            assert batch["image"].shape == [3, changes["canvas"], changes["canvas"], 3]
        for i, (height, width) in enumerate(batch["image_size"].numpy()):
            picture = batch["image"][i].numpy()
            assert not picture[height:].any() and not picture[:, width:].any()
            place = {label: row for row, label in enumerate(batch["classes"][i].numpy()) if label >= 0}
            assert sorted(place.values()) == list(range(batch["masks"]["rles"][i].shape[0]))
            for label in (0, 1):
                shows = picture[:height, :width, label]
                if label not in place:
                    dropped += shows.max(initial=0) > 0
                    continue
                rows += 1
                mask = mask_of(batch["masks"], i, place[label], height, width)
                sure = (shows == 255) | (shows == 0)
                wrong = (mask != (shows == 255))[sure].sum()
                assert wrong == 0 if label == 0 else wrong <= 0.1 * mask.sum() + 8
                check_box(batch["boxes"][i, place[label]].numpy(), shows)
    assert rows > 20 and (dropped or not options(**changes).augmentation.min_visible)


def mask_of(masks, image, row, height, width):
    size, polygons, runs = [int(height), int(width)], masks["polygons"][image, row].to_list(), masks["rles"][image, row]
    if polygons:
        return bitmap(masks["polygons"][image][row : row + 1], *size)
    code = coco_mask.frPyObjects({"size": size, "counts": runs.numpy().tolist()}, *size)
    return coco_mask.decode(code) > 0


def check_box(box, shows):
    """No part of the object lies outside the box, except that blending smears it by less than a source pixel."""
    x1, y1, x2, y2 = box
    y, x = np.nonzero(shows == 255)
    assert (x + 0.5 >= x1 - 1e-3).all() and (x + 0.5 <= x2 + 1e-3).all()
    assert (y + 0.5 >= y1 - 1e-3).all() and (y + 0.5 <= y2 + 1e-3).all()


def values_of(batch):
    return [value.numpy() for value in tf.nest.flatten(batch, expand_composites=True)]


@pytest.mark.parametrize("changes", WITH_PASTED.values(), ids=list(WITH_PASTED))
def test_a_run_that_resumes_sees_the_same_batches(painted, changes):
    settings = {"batch_size": 3, **changes, **COLOURS}
    whole = batches(painted, **settings)
    for start in (1, len(whole) // 2, len(whole) - 1):
        rest = batches(painted, start_step=start, **settings)
        assert len(rest) == len(whole) - start
        for batch, expected in zip(rest, whole[start:]):
            for value, other in zip(values_of(batch), values_of(expected)):
                np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("changes", WITH_PASTED.values(), ids=list(WITH_PASTED))
def test_what_is_drawn_does_not_depend_on_how_many_ranks_share_a_batch(painted, changes):
    """Two ranks with two images each see what one rank with four sees."""
    alone = batches(painted, batch_size=4, **changes, **COLOURS)
    ranks = [batches(painted, batch_size=2, rank=rank, world_size=2, **changes, **COLOURS) for rank in (0, 1)]
    for step, batch in enumerate(alone):
        for i in range(4):
            other, j = ranks[i // 2][step], i % 2
            height, width = batch["image_size"][i].numpy()
            assert batch["image_id"][i] == other["image_id"][j]
            np.testing.assert_array_equal(batch["image"][i, :height, :width], other["image"][j, :height, :width])
            real = int((batch["classes"][i].numpy() >= 0).sum())
            np.testing.assert_array_equal(batch["boxes"][i, :real], other["boxes"][j, :real])
            for kind in ("polygons", "rles"):
                assert batch["masks"][kind][i].to_list() == other["masks"][kind][j].to_list()


def test_colours_do_not_depend_on_threads(painted):
    one, seven = (batches(painted, batch_size=3, reader_threads=threads, **COLOURS) for threads in (1, 7))
    for batch, other in zip(one, seven):
        np.testing.assert_array_equal(batch["image"], other["image"])


def test_colours_change_pixels_and_nothing_else(painted):
    plain, coloured = batches(painted, batch_size=3), batches(painted, batch_size=3, **COLOURS)
    for batch, other in zip(plain, coloured):
        assert (batch.pop("image").numpy() != other.pop("image").numpy()).mean() > 0.1
        for value, expected in zip(values_of(other), values_of(batch)):
            np.testing.assert_array_equal(value, expected)

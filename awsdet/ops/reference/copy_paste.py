"""Copy-paste in plain NumPy, a whole mask per object, straight from the rules. Eager only."""

import numpy as np
import tensorflow as tf

from awsdet.ops.annotations import Annotations
from awsdet.ops.copy_paste import BOX_SHIFT, LEAST_PIXELS, Scenes
from awsdet.ops.reference.bitmap import box_around, mask_of, runs_of


def copy_paste(base, partner, *, share, key, rows, most, box_shift=BOX_SHIFT, least_pixels=LEAST_PIXELS):
    """The same as `awsdet.ops.copy_paste.copy_paste`."""
    images, found = np.array(base.images), []
    frames = np.array(base.window, np.int32)
    for i in range(len(frames)):
        theirs = _objects(partner, i)
        pasted = [theirs[row] for row in draw_objects(theirs, np.float32(share[i]), int(key[i]), most)]
        pasted = [one for one in pasted if one["pixels"].any()]
        if pasted:
            frames[i] = np.maximum(frames[i], partner.window[i])
        frame, cover = frames[i], np.zeros(images.shape[1:3], bool)
        for one in pasted:
            cover |= one["pixels"]
        images[i][cover] = np.asarray(partner.images[i])[cover]
        left = [_occluded(one, cover, frame, box_shift, least_pixels) for one in _objects(base, i)]
        pasted = [_in_frame(one, frame) for one in pasted]
        found.append([one for one in left if one is not None] + pasted)
    return Scenes(tf.constant(images), tf.constant(frames), _annotations(found, rows))


def draw_objects(objects, share, key, most):
    """Rows of those that are pasted, ascending."""
    able = [row for row, one in enumerate(objects) if not one["crowd"] and has_mask(one)]
    limit = min(len(able), most)
    count = min(int(np.float32(share) * np.float32(limit + 1)), limit)
    return sorted(sorted(able, key=lambda row: splitmix64(key + row))[:count])


def splitmix64(state):
    """A well mixed number of 64 bits for each state (Steele, Lea and Flood 2014)."""
    low = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & low
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & low
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & low
    return state ^ (state >> 31)


def has_mask(one):
    """Whether an object has polygons, or run lengths with a pixel."""
    return bool(one["polygons"]) or len(one["runs"]) > 1


def _objects(scenes, image):
    """The objects of one image, dicts; `pixels` is bool [H, W] of the canvas, inside the image's window."""
    found, window = scenes.annotations, [int(side) for side in scenes.window[image]]
    polygons, runs = found.polygons[image].to_list(), found.rles[image].to_list()
    objects = []
    for row in range(len(polygons)):
        pixels = np.zeros(scenes.images.shape[1:3], bool)
        pixels[: window[0], : window[1]] = mask_of(polygons[row], runs[row], window)
        one = {"box": np.asarray(found.boxes[image, row]), "label": int(found.classes[image, row])}
        one |= {"crowd": bool(found.is_crowd[image, row]), "window": window, "pixels": pixels}
        objects.append(one | {"polygons": polygons[row], "runs": runs[row]})
    return objects


def _occluded(one, cover, frame, box_shift, least_pixels):
    """An object of the base, as it is left; None if it is dropped."""
    left = one["pixels"] & ~cover
    if left.sum() == one["pixels"].sum():
        return _in_frame(one, frame)
    if not left.any():
        return None
    box = box_around(left)
    if (np.abs(box - one["box"]) > box_shift).any() and left.sum() <= least_pixels:
        return None
    return one | {"box": box, "polygons": [], "runs": runs_of(left[: frame[0], : frame[1]])}


def _in_frame(one, frame):
    """An object that lost nothing. In a larger frame, polygons that reach out of the window would show more."""
    points = np.reshape([number for part in one["polygons"] for number in part], (-1, 2)).astype(np.float32)
    wider, higher = frame[1] > one["window"][1], frame[0] > one["window"][0]
    out = (wider and (points[:, 0] > one["window"][1]).any()) or (higher and (points[:, 1] > one["window"][0]).any())
    if not one["runs"] and not out:
        return one
    return one | {"polygons": [], "runs": runs_of(one["pixels"][: frame[0], : frame[1]])}


def _annotations(found, rows):
    boxes = np.zeros((len(found), rows, 4), np.float32)
    classes, is_crowd = np.full((len(found), rows), -1, np.int32), np.zeros((len(found), rows), bool)
    for i, objects in enumerate(found):
        for row, one in enumerate(objects):
            boxes[i, row], classes[i, row], is_crowd[i, row] = one["box"], one["label"], one["crowd"]
    polygons = tf.ragged.constant(
        [[one["polygons"] for one in objects] for objects in found], tf.float32, 3, row_splits_dtype=tf.int64
    )
    rles = tf.ragged.constant(
        [[one["runs"] for one in objects] for objects in found], tf.int32, 2, row_splits_dtype=tf.int64
    )
    return Annotations(tf.constant(boxes), tf.constant(classes), tf.constant(is_crowd), polygons, rles)

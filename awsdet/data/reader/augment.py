"""All of augmentation: what makes one epoch show an image differently from another.

NumPy draws everything random when an epoch is planned (`draw`), so a run that resumes sees what it would have seen.
Geometry becomes one `Placement` per image, which the operators apply to pixels, boxes, polygons and run lengths alike.
TensorFlow applies what else is drawn (`Drawn.others`) once the records are read: `settle` before the resize, `recolour`
after it.

To add an augmentation, give `Augmentation` a field, `draw` its draw, `awsdet/config/defaults.py` a default that turns
it off, and `awsdet/config/ranges.py` its range; docs/data.md has an example.

Symbols: S steps, B images of a batch; sizes are height and width in px.
"""

import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.reader import colour
from awsdet.data.reader.sizes import resize_scale, rounded
from awsdet.ops.placement import Placement

_COLOURS = ("brightness", "contrast", "saturation", "hue")  # in this order, always


class Augmentation(NamedTuple):
    """The augmentations of a run. Each field has the name of its setting in `config.data`.

    flip_probability: the probability of an image to be mirrored.
    short_sides: px; an image's short side becomes one of these.
    short_side_range: px; unless it is (0, 0), the short side becomes any whole number from the first to the second.
    max_long_side: px; images become smaller than that if their long side would exceed this.
    crop: the least share of height and of width that is shown. Shares are drawn evenly between these and 1, and what is
        cropped is resized as if it were the image (Detectron2's relative_range). (1, 1): no crop.
    crop_keeps_object: whether a crop must hold the centre of one of the image's objects, which is drawn.
    canvas: px; the side of the square of large-scale jitter (Ghiasi et al. 2021). 0: no jitter. The long side becomes
        the canvas times a number drawn evenly between the two of jitter_scales. Of a larger image a part that fits is
        shown, at a place that is drawn; a smaller one is padded.
    jitter_scales: see canvas.
    min_visible: an object is dropped if a crop leaves less than this share of its box.
    boxes_from_masks: whether an object that a crop cuts gets the box around what is left of its mask.
    copy_paste: the probability of an image to get objects of another pasted on (see `partners`); needs a canvas.
    copy_paste_objects: how many at most.
    brightness, contrast, saturation: x changes them by a factor drawn evenly between 1 - x (0 at least) and 1 + x.
    hue: x, 0.5 at most, turns hues by a share of the colour circle drawn evenly between -x and x.
    """

    flip_probability: float
    short_sides: tuple
    short_side_range: tuple
    max_long_side: int
    crop: tuple
    crop_keeps_object: bool
    canvas: int
    jitter_scales: tuple
    min_visible: float
    boxes_from_masks: bool
    copy_paste: float
    copy_paste_objects: int
    brightness: float
    contrast: float
    saturation: float
    hue: float

    @property
    def crops(self):
        """Whether a window may be smaller than its image."""
        return bool(self.canvas) or min(self.crop) < 1


class Draws(NamedTuple):
    """Where the random numbers of an epoch come from. Every rank draws those of all ranks and keeps its own.

    plan_rng: the plan's generator, after it has drawn the order of the images; key: seed and epoch, two ints;
    shape: (S, images of a batch over all ranks); mine: which of the latter are this rank's, a slice; prefix: of the
    names of what is drawn.
    """

    plan_rng: np.random.Generator
    key: tuple
    shape: tuple
    mine: slice
    prefix: str = ""

    def even(self, name, *more):
        """float64 [S, B, *more], evenly from [0, 1), of a generator that `name` has for itself."""
        rng = np.random.default_rng([*self.key, zlib.crc32((self.prefix + name).encode())])
        return rng.random((*self.shape, *more))[:, self.mine]


class Drawn(NamedTuple):
    """What an epoch does to its images: `placement`, and `others`, a dict of arrays; all [S, B, …]."""

    placement: Placement
    others: dict


def draw(rules, height, width, draws):
    """Draws what one epoch does to the images of one rank.

    rules: Augmentation; height, width: of the sources, [S, B]; draws: Draws. Returns Drawn.
    """
    # These two have always come from the plan's own generator, and in this order.
    flip = draws.plan_rng.random(draws.shape)[:, draws.mine] < rules.flip_probability
    choice = draws.plan_rng.integers(len(rules.short_sides), size=draws.shape)[:, draws.mine]
    source = np.stack([height, width], axis=-1)
    if rules.canvas:
        size, window = _jittered(rules, source, draws)
    else:
        short = np.array(rules.short_sides)[choice]
        if max(rules.short_side_range):
            low, high = rules.short_side_range
            short = low + np.floor(draws.even("short_side_range") * (high - low + 1))
        size, window = _cropped(rules, source, short, draws)
    placement, others = _placed(rules, size, window, flip, draws)
    for name in _COLOURS:
        extent = getattr(rules, name)
        if extent:
            low, high = (-extent, extent) if name == "hue" else (max(1 - extent, 0), 1 + extent)
            others[name] = (low + draws.even(name) * (high - low)).astype(np.float32)
    return Drawn(placement, others)


def draw_jitter(rules, source, draws):
    """The Drawn of images that are flipped and jittered on the canvas, and not recoloured; source: int [S, B, 2]."""
    flip = draws.even("flip") < rules.flip_probability
    return _placed(rules, *_jittered(rules, source, draws), flip, draws)


def _placed(rules, size, window, flip, draws):
    """The Drawn of windows whose place is drawn, if they are smaller than their images."""
    corner, others = np.zeros_like(size), {}
    if rules.crops:
        corner = (draws.even("corner", 2) * (size - window + 1)).astype(np.int32)
        if rules.crop_keeps_object:
            others["object"] = draws.even("object", 3).astype(np.float32)
    return Drawn(Placement(size, corner, window, flip), others)


def _cropped(rules, source, short, draws):
    """(size, window) int32 [S, B, 2]: what is cropped has the short side that was drawn."""
    if not rules.crops:
        size = rounded(source * _scale(rules, source, short))
        return size, size
    seen = source * (1 - draws.even("crop", 2) * (1 - np.array(rules.crop)))
    scale = _scale(rules, seen, short)
    return rounded(source * scale), rounded(seen * scale)


def _scale(rules, seen, short):
    return resize_scale(seen[..., 0], seen[..., 1], short, rules.max_long_side)[..., np.newaxis]


def _jittered(rules, source, draws):
    """(size, window) int32 [S, B, 2] of large-scale jitter."""
    low, high = rules.jitter_scales
    jitter = low + draws.even("jitter_scales") * (high - low)
    size = rounded(source * (jitter * rules.canvas / source.max(axis=-1))[..., np.newaxis])
    return size, np.minimum(size, rules.canvas)


# ------------------------------------------------------------------------------------------------------- in tf.data


def settle(placement, others, stored, original_size):
    """The Placement of the B images of a batch, now that their objects are known.

    With `crop_keeps_object`, the window moves to a place, drawn evenly, at which it holds the centre of the object that
    was drawn. The window of an image without objects stays.

    placement, others: of the batch, as drawn; stored: the records' lists, as `place_annotations` takes them;
    original_size: int32 [B, 2].
    """
    if "object" not in others:
        return placement
    corners = [
        _corner_at_object(Placement(*(part[i] for part in placement)), others["object"][i], one, original_size[i])
        for i, one in enumerate(stored)
    ]
    return placement._replace(corner=tf.stack(corners))


def _corner_at_object(placement, drawn, stored, original_size):
    """int32 [2] of one image. drawn: float32 [3], each from 0 to 1: which object, the place in y, the place in x."""
    is_object = stored["is_crowd"][: stored["trainable"]] == 0
    boxes = tf.reshape(tf.io.decode_raw(stored["boxes"], tf.float64), [-1, 4])[: stored["trainable"]]
    boxes = tf.boolean_mask(boxes, is_object)
    count = tf.shape(boxes)[0]

    def moved():
        chosen = boxes[tf.minimum(tf.cast(drawn[0] * tf.cast(count, tf.float32), tf.int32), count - 1)]
        size = tf.cast(placement.size, tf.float64)
        centre = (chosen[:2] + chosen[2:] / 2)[::-1] * size / tf.cast(original_size, tf.float64)
        x = tf.where(placement.flip, size[1] - centre[1], centre[1])
        pixel = tf.clip_by_value(tf.cast(tf.floor([centre[0], x]), tf.int32), 0, placement.size - 1)
        first = tf.maximum(pixel - placement.window + 1, 0)
        last = tf.minimum(pixel, placement.size - placement.window)
        return tf.minimum(first + tf.cast(drawn[1:] * tf.cast(last - first + 1, tf.float32), tf.int32), last)

    return tf.cond(count > 0, moved, lambda: tf.identity(placement.corner))


def recolour(images, window, others):
    """uint8 [B, H, W, 3] with the colours that were drawn; window: int32 [B, 2]. Does nothing if none were."""
    for name in _COLOURS:
        if name in others:
            images = getattr(colour, name)(images, others[name], window)
    return images

"""The graphs of a detector that leaves this project, traced with operators that others know.

Symbols: B images of H x W px, D detections per image, C classes, M = 28 side of a mask.
"""

import functools

import tensorflow as tf

from awsdet.data.reader.sizes import Canvas
from awsdet.export.encoded import upright
from awsdet.export.full_masks import pasted
from awsdet.ops import library, plain

_PIXELS = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")


class Graphs:
    """Concrete functions, each of which calls the one before, so the network is there once.

    Args:
        detector: Detector. Its `input_size` decides how images are resized; with a Canvas, H and W of `resized` are
            fixed.
        category_ids: of the C classes.
        masks: "crop": probabilities inside each box; "full": pasted into the image; "none".
        operators: what stands for awsdet's own, see `library.replaced`; `library.compiled()`: they themselves.
        resize: as `tf.image.resize`.
        images: B of `resized`, if it is fixed.
    """

    def __init__(self, detector, category_ids, masks, operators=plain, resize=tf.image.resize, images=None):
        self._detector, self._masks, self._images = detector, masks, images
        self._operators, self._resize = operators, resize
        self._ids, self._names = [*category_ids, -1], [*detector.class_names, ""]

    @functools.cached_property
    def resized(self):
        """image uint8 [B, H, W, 3], image_size int32 [B, 2] -> what `Detector.detect` gives."""
        sides = [None, None]
        if isinstance(self._detector.input_size, Canvas):
            sides = self._detector.input_size.padded()
        image = tf.TensorSpec([self._images, *sides, 3], tf.uint8, name="image")
        with library.replaced(self._operators):
            return _traced(self._of_resized, image, tf.TensorSpec([self._images, 2], tf.int32, name="image_size"))

    @functools.cached_property
    def pixels(self):
        """image uint8 [B, H, W, 3], all pixels of which are of the images -> all outputs of `contract`."""
        return _traced(self._of_pixels_in_full, _PIXELS) if self._masks == "full" else self._cropped

    @functools.cached_property
    def encoded(self):
        """image_bytes string [B] -> all outputs of `contract`."""
        return _traced(self._of_encoded, tf.TensorSpec([None], tf.string, name="image_bytes"))

    @functools.cached_property
    def _cropped(self):
        return _traced(self._of_pixels, _PIXELS)

    def _of_encoded(self, image_bytes):
        """One image after the other, so that what is found in an image does not depend on the others."""

        def one(encoded):
            found = self._cropped(image=upright(encoded)[tf.newaxis])
            return {name: values[0] for name, values in found.items()}

        shapes = self._cropped.structured_outputs
        signature = {name: tf.TensorSpec(part.shape[1:], part.dtype) for name, part in shapes.items()}
        outputs = tf.map_fn(one, image_bytes, fn_output_signature=signature)
        if self._masks == "full":
            outputs["masks"] = self._full(outputs, tf.reduce_max(outputs["image_size"], axis=0))
        return outputs

    def _of_pixels_in_full(self, image):
        outputs = self._cropped(image=image)
        outputs["masks"] = self._full(outputs, tf.shape(image)[1:3])
        return outputs

    def _of_pixels(self, image):
        images, original = tf.shape(image)[0], tf.shape(image)[1:3]
        size, padded = self._resized_size(original)
        missing = padded - size
        resized = tf.cast(self._resize(image, size) + 0.5, tf.uint8)  # values are 0 … 255, so this rounds
        resized = tf.pad(resized, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        sizes = tf.tile(size[tf.newaxis], [images, 1])
        outputs = self.resized(image=tf.ensure_shape(resized, self.resized.inputs[0].shape), image_size=sizes)
        outputs["image_size"] = tf.tile(original[tf.newaxis], [images, 1])
        # Height and width were rounded to whole pixels separately, so each has its own scale.
        limit = tf.cast(tf.gather(original, [1, 0, 1, 0]), tf.float32)
        scale = limit / tf.cast(tf.gather(size, [1, 0, 1, 0]), tf.float32)
        outputs["boxes"] = tf.clip_by_value(outputs["boxes"] * scale, 0.0, limit)
        labels = tf.where(outputs["classes"] < 0, len(self._names) - 1, outputs["classes"])
        outputs["category_ids"] = tf.gather(tf.constant(self._ids, tf.int64), labels)
        outputs["class_names"] = tf.gather(tf.constant(self._names), labels)
        return outputs

    def _of_resized(self, image, image_size):
        outputs = dict(self._detector.call({"image": image, "image_size": image_size}))
        if self._masks == "none":
            outputs.pop("masks", None)
            outputs.pop("iou_scores", None)
        return outputs

    def _full(self, outputs, size):
        """The masks uint8 [B, D, H, W] for `size` int32 [2]; beyond a smaller image they are zeros."""

        def one(parts):
            probabilities, boxes, own = parts
            masks = pasted(probabilities, boxes, own, self._detector.mask_threshold)
            missing = size - own
            return tf.pad(masks, [[0, 0], [0, missing[0]], [0, missing[1]]])

        parts = (outputs["masks"], outputs["boxes"], outputs["image_size"])
        spec = tf.TensorSpec([outputs["masks"].shape[1], None, None], tf.uint8)
        return tf.map_fn(one, parts, fn_output_signature=spec)

    def _resized_size(self, original):
        """Height and width without and with padding, each int32 [2]: `resized` and `padded` of the input size."""
        sides = tf.cast(original, tf.float64)
        rule = self._detector.input_size
        if isinstance(rule, Canvas):
            scale = tf.reduce_min(tf.constant([rule.height, rule.width], tf.float64) / sides)
        else:
            scale = tf.minimum(rule.short_side / tf.reduce_min(sides), rule.max_long_side / tf.reduce_max(sides))
        size = tf.maximum(tf.cast(sides * scale + 0.5, tf.int32), 1)
        if isinstance(rule, Canvas):
            return size, tf.constant(rule.padded(), tf.int32)
        return size, (size + rule.pad_multiple - 1) // rule.pad_multiple * rule.pad_multiple


def _traced(function, *inputs):
    return tf.function(function, input_signature=inputs, autograph=False).get_concrete_function()

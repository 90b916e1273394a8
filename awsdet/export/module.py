"""A detector as a SavedModel whose graphs hold nothing but TensorFlow's own operators.

Symbols: B images of H x W px, D detections per image, C classes, M = 28 side of a mask.
"""

import contextlib

import tensorflow as tf
from absl import logging

from awsdet.export import contract
from awsdet.export.encoded import upright
from awsdet.export.full_masks import pasted
from awsdet.ops import library, plain


def save(detector, folder, category_ids, masks):
    """Writes a SavedModel with the signatures of `contract`.

    Args:
        detector: Detector.
        folder: it is written to; made if needed.
        category_ids: of the C classes.
        masks: "crop": probabilities inside each box; "full": pasted into the image; "none".
    """
    graphs = _Graphs(detector, category_ids, masks)
    module = tf.Module()  # it must not hold the detector itself: Keras would save its graph of training too
    module.weights = list(detector.variables)
    with _quiet_tensorflow():
        tf.saved_model.save(module, str(folder), graphs.signatures())


class _Graphs:
    """Each graph calls the one before, so the network is there once. Arguments: see `save`."""

    def __init__(self, detector, category_ids, masks):
        self.detector, self._masks = detector, masks
        self._ids, self._names = [*category_ids, -1], [*detector.class_names, ""]
        image = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
        with library.replaced(plain):
            self._resized = _traced(self._of_resized, image, tf.TensorSpec([None, 2], tf.int32, name="image_size"))
        self._cropped = _traced(self._of_pixels, image)
        self._pixels = _traced(self._of_pixels_in_full, image) if masks == "full" else self._cropped
        self._encoded = _traced(self._of_encoded, tf.TensorSpec([None], tf.string, name="image_bytes"))

    def signatures(self):
        """Name -> concrete function, see `contract`."""
        return {contract.ENCODED: self._encoded, contract.PIXELS: self._pixels, contract.RESIZED: self._resized}

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
        """`image` uint8 [B, H, W, 3], all pixels of which are of the images."""
        images, original = tf.shape(image)[0], tf.shape(image)[1:3]
        size = self._resized_size(original)
        multiple = self.detector.input_size.pad_multiple
        missing = -size % multiple
        resized = tf.cast(tf.image.resize(image, size) + 0.5, tf.uint8)  # values are 0 … 255, so this rounds
        resized = tf.pad(resized, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        sizes = tf.tile(size[tf.newaxis], [images, 1])
        outputs = self._resized(image=resized, image_size=sizes)
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
        """What `Detector.detect` gives."""
        outputs = dict(self.detector.call({"image": image, "image_size": image_size}))
        if self._masks == "none":
            outputs.pop("masks", None)
            outputs.pop("iou_scores", None)
        return outputs

    def _full(self, outputs, size):
        """The masks uint8 [B, D, H, W] for `size` int32 [2]; beyond a smaller image they are zeros."""

        def one(parts):
            probabilities, boxes, own = parts
            masks = pasted(probabilities, boxes, own, self.detector.mask_threshold)
            missing = size - own
            return tf.pad(masks, [[0, 0], [0, missing[0]], [0, missing[1]]])

        parts = (outputs["masks"], outputs["boxes"], outputs["image_size"])
        spec = tf.TensorSpec([outputs["masks"].shape[1], None, None], tf.uint8)
        return tf.map_fn(one, parts, fn_output_signature=spec)

    def _resized_size(self, original):
        """int32 [2], as `sizes.resize_plan`."""
        sides = tf.cast(original, tf.float64)
        rule = self.detector.input_size
        scale = tf.minimum(rule.short_side / tf.reduce_min(sides), rule.max_long_side / tf.reduce_max(sides))
        return tf.maximum(tf.cast(sides * scale + 0.5, tf.int32), 1)


def _traced(function, *inputs):
    return tf.function(function, input_signature=inputs, autograph=False).get_concrete_function()


@contextlib.contextmanager
def _quiet_tensorflow():
    """TensorFlow would list hundreds of inputs of inner functions that it renames."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)

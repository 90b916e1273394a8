"""Normalises the pixels of images as a network expects them."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a network expects of its pixels.

    Attributes:
        mean, std: per channel, in the order of the channels.
        bgr: whether blue comes first.
    """

    mean: tuple = (123.675, 116.28, 103.53)
    std: tuple = (58.395, 57.12, 57.375)
    bgr: bool = False

    def normalize(self, image, image_size):
        """uint8 RGB [B, H, W, 3] -> float32 of the same shape; pixels beyond `image_size` int32 [B, 2] become 0."""
        pixels = tf.cast(image[..., ::-1] if self.bgr else image, tf.float32)
        pixels = (pixels - tf.constant(self.mean, tf.float32)) / tf.constant(self.std, tf.float32)
        rows = tf.sequence_mask(image_size[:, 0], tf.shape(image)[1])
        columns = tf.sequence_mask(image_size[:, 1], tf.shape(image)[2])
        inside = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
        return tf.where(inside[..., tf.newaxis], pixels, 0.0)

"""The decoder of the images in records: training and evaluation read with it, `convert` and `inspect` check with it."""

import numpy as np
import tensorflow as tf

# What TensorFlow's decoder takes of a JPEG when it is decoded: 178.9 million pixels in colour. For others see
# opening.MOST_PIXELS.
MOST_JPEG_BYTES = 2**29 - 1


def decode_image(encoded):
    """JPEG or PNG bytes -> uint8 RGB [h, w, 3]; the slow, exact inverse transform of libjpeg, as Pillow's default."""
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")  # decodes PNG as well


def fits_jpeg(width, height, channels):
    """Whether the decoder takes an image of this size as JPEG; larger ones must be PNG."""
    return width * height * channels <= MOST_JPEG_BYTES


def decoded(encoded: bytes) -> np.ndarray:
    """The same as an array. Raises ValueError, in a few words, for bytes that the decoder refuses."""
    try:
        with tf.device("CPU:0"):
            return decode_image(encoded).numpy()
    except tf.errors.OpError as error:
        raise ValueError(decoder_words(error.message)) from None


def decoder_words(message):
    """What went wrong, out of the message of a TensorFlow error: without the names of operations and nodes."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = lines[0].partition(" [Op:")[0] if lines else ""
    while text.startswith("{{") and "}}" in text:
        text = text.partition("}}")[2].lstrip()
    for kind in ("JPEG", "PNG"):
        if f"Invalid {kind}" in text:
            return f"truncated or damaged {kind} data"
    return text or "no reason is given"

"""Encoded images to upright pixels, in operators of TensorFlow.

JPEG and PNG are decoded as the reader of the records decodes them, so the pixels are those that were trained on. The
orientation is that of the EXIF block of a JPEG (Exif 2.32, 4.6.4 A: tag 0x0112 of the first directory).
"""

import tensorflow as tf

_LOOKED_AT = 2**17  # bytes; an EXIF block has at most 2**16 and comes first
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"
_APP1, _SCAN = 0xE1, 0xDA  # markers of a JPEG: the block that may hold EXIF; the pixels
_EXIF = b"Exif\0\0"
_ORIENTATION, _SHORT = 0x0112, 3
_MOST_TAGS = 1024


def upright(encoded):
    """uint8 RGB [H, W, 3] of an encoded JPEG, PNG, BMP or GIF (its first frame), a string scalar."""

    def as_the_reader():
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")  # decodes PNG as well

    def others():
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    starts = [tf.strings.substr(encoded, 0, len(start)) == start for start in (_JPEG, _PNG)]
    pixels = tf.cond(starts[0] | starts[1], as_the_reader, others)
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    value = tf.cond(starts[0], lambda: orientation(encoded), lambda: 1)

    def crossed():
        return tf.transpose(pixels, [1, 0, 2])

    turns = [
        lambda: pixels,
        lambda: pixels[:, ::-1],
        lambda: pixels[::-1, ::-1],
        lambda: pixels[::-1],
        crossed,
        lambda: crossed()[:, ::-1],
        lambda: crossed()[::-1, ::-1],
        lambda: crossed()[::-1],
    ]
    return tf.switch_case(value - 1, turns)


def orientation(encoded):
    """The EXIF orientation, 1 … 8, of a JPEG, a string scalar; 1 if it has none, or a broken one."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, _LOOKED_AT), tf.uint8), tf.int64)
    end = tf.size(data, tf.int64)
    data = tf.concat([data, [0]], axis=0)

    def at(place):
        """The bytes at `place`, int64 of any shape; beyond the end they are zeros."""
        return tf.gather(data, tf.where((place >= 0) & (place < end), place, end))

    def is_block(place):
        return (at(place) == 0xFF) & (at(place + 1) != _SCAN) & (place + 4 < end)

    def holds(place):
        same = [at(place + 4 + i) == byte for i, byte in enumerate(_EXIF)]
        return (at(place + 1) == _APP1) & tf.reduce_all(tf.stack(same))

    def following(place):
        return [place + 2 + at(place + 2) * 256 + at(place + 3)]

    (place,) = tf.while_loop(lambda place: is_block(place) & ~holds(place), following, [tf.constant(2, tf.int64)])
    found = is_block(place) & holds(place)
    start = place + 10  # of the TIFF header, from which its offsets count
    little = at(start) == ord("I")

    def number(place, size):
        steps = range(size)
        up = tf.add_n([at(place + i) * 256**i for i in steps])
        down = tf.add_n([at(place + i) * 256 ** (size - 1 - i) for i in steps])
        return tf.where(little, up, down)

    directory = start + number(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _MOST_TAGS))
    is_it = (number(entries, 2) == _ORIENTATION) & (number(entries + 2, 2) == _SHORT)
    values = tf.boolean_mask(number(entries + 8, 2), is_it)
    value = tf.concat([values, [1]], axis=0)[0]
    return tf.cast(tf.where(found & (value >= 1) & (value <= 8), value, 1), tf.int32)

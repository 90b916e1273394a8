"""Reading of one record of a TFRecord file in plain TensorFlow."""

import tensorflow as tf

HEADER = 12  # bytes before a record: its length and that number's checksum


def read_record(file, offset, length):
    """The bytes of a record, string scalar; its checksum is not compared.

    Args:
      file: string scalar, path of the TFRecord file.
      offset: int64 scalar, byte at which the record's header starts.
      length: int64 scalar, bytes of the record itself.
    """
    return tf.strings.substr(tf.io.read_file(file), tf.cast(offset, tf.int64) + HEADER, tf.cast(length, tf.int64))

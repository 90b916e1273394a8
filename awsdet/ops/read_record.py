"""Reads one record of a TFRecord file by its place, by the compiled operator.

`awsdet.ops.reference.read_record` holds the same in plain TensorFlow, which reads the file from its beginning.
"""

import tensorflow as tf

from awsdet.ops import library


def read_record(file, offset, length):
    """The bytes of a record, string scalar.

    Args:
      file: string scalar, path of the TFRecord file on any file system that TensorFlow knows.
      offset: int64 scalar, byte at which the record's header starts.
      length: int64 scalar, bytes of the record itself.

    Raises:
      NotFoundError: there is no such file. DataLossError: the file ends within the record, or its bytes do not have
      the checksum that was written with them. InvalidArgumentError: a negative number, or no scalar.
    """
    with tf.device("CPU:0"):
        return library.load().awsdet_read_record(file=file, offset=offset, length=length)

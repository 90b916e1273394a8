"""The compiled read_record against TensorFlow's own writer of TFRecord files, and against the twin."""

import struct

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import read_record as compiled
from awsdet.ops.reference import read_record as plain


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """(path, [(offset, record)]) of a file of records of 0 to 300,000 random bytes."""
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    rng = np.random.default_rng(0)
    records = [rng.bytes(length) for length in (5, 0, 1, 300_000, 4096, 77)]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    offsets = np.cumsum([0] + [len(record) + 16 for record in records])
    return path, list(zip(offsets.tolist(), records))


def test_reads_what_tensorflow_wrote(shard):
    path, places = shard
    for offset, record in reversed(places):
        for module in (compiled, plain):
            assert module.read_record(str(path), offset, len(record)).numpy() == record


def test_reads_no_more_than_the_record(shard, tmp_path):
    """A record late in a large file must not cost the time or memory to read what lies before it."""
    path = tmp_path / "sparse.tfrecord"
    start, record = 1 << 40, b"far away"
    framed = shard[0].parent / "framed.tfrecord"
    with tf.io.TFRecordWriter(str(framed)) as writer:
        writer.write(record)
    with open(path, "wb") as file:
        file.seek(start)
        file.write(framed.read_bytes())
    assert compiled.read_record(str(path), start, len(record)).numpy() == record


def test_more_files_than_stay_open(tmp_path):
    paths = [str(tmp_path / f"{i}.tfrecord") for i in range(150)]
    for i, path in enumerate(paths):
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(str(i).encode())
    read = tf.function(
        compiled.read_record, input_signature=[tf.TensorSpec([], d) for d in (tf.string, *[tf.int64] * 2)]
    )
    for _ in range(2):
        for i, path in enumerate(paths):
            assert read(path, 0, len(str(i))).numpy() == str(i).encode()


def test_in_many_threads(shard):
    path, places = shard
    rows = tf.data.Dataset.from_tensor_slices(tuple(np.array([(o, len(r)) for o, r in places] * 50).T))
    found = rows.map(lambda offset, length: compiled.read_record(str(path), offset, length), num_parallel_calls=8)
    assert [record.numpy() for record in found] == [record for _, record in places] * 50


def test_faults_are_named(shard, tmp_path):
    path, places = shard
    data, (offset, record) = path.read_bytes(), places[3]
    damaged = tmp_path / "damaged.tfrecord"
    damaged.write_bytes(data[: offset + 999] + bytes([data[offset + 999] ^ 1]) + data[offset + 1000 :])
    with pytest.raises(
        tf.errors.DataLossError, match=rf"damaged\.tfrecord is damaged: the record at byte {offset} does"
    ):
        compiled.read_record(str(damaged), offset, len(record))
    short = tmp_path / "short.tfrecord"
    short.write_bytes(data[: offset + len(record)])
    for place, length in [(offset, len(record)), (len(data), 0), (1 << 50, 9), (0, 2**63 - 1), (2**63 - 1, 2**63 - 1)]:
        with pytest.raises(tf.errors.DataLossError, match=rf"short\.tfrecord ends within its record at byte {place}"):
            compiled.read_record(str(short), place, length)
    with pytest.raises(tf.errors.NotFoundError, match=r"gone\.tfrecord"):
        compiled.read_record(str(tmp_path / "gone.tfrecord"), 0, 1)
    for place, length in [(-1, 5), (0, -5)]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"must not be negative, got {place} and {length}"):
            compiled.read_record(str(path), place, length)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be scalars"):
        compiled.read_record([str(path)], 0, 5)
    assert struct.unpack("<Q", data[offset : offset + 8])[0] == len(record)  # so that the places above are the format's

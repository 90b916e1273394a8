"""A record that makes the reader fail is found again, and named."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config
from awsdet.data.reader import plan
from awsdet.data.reader.broken import FAILURES, first_broken
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import broken_in_evaluation, broken_in_training, eval_dataset, train_dataset
from awsdet.data.reader.position import Position
from awsdet.data.records.manifest import HEADER
from awsdet.data.records.read import read_manifest


def options(batch_size=2, **changes):
    settings = config.mask_rcnn().data
    settings.update(batch_size=batch_size, eval_batch_size=2, eval_short_side=96, max_long_side=96, short_sides=(96,))
    settings.update(changes)
    return reader_options(settings)


@pytest.fixture
def manifest(shapes_records, tmp_path):
    """Of 13 images in two shards."""
    return read_manifest(shutil.copytree(shapes_records, tmp_path / "records"), "val")


def rewrite(manifest, row, change):
    """Writes the shard of a record anew; change: payload -> another payload of its length. Its checksum is right."""
    shard = int(manifest.shard[row])
    path = manifest.directory / manifest.shards[shard].file
    payloads = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    place = row - int((manifest.shard < shard).sum())
    payloads[place] = change(payloads[place])
    assert len(payloads[place]) == manifest.length[row]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)


def spoil_image(manifest, row):
    def change(payload):
        end = payload.index(b"\xff\xd9")
        return payload[: end - 200] + bytes(202) + payload[end + 2 :]

    rewrite(manifest, row, change)
    return "truncated or damaged JPEG data"


def spoil_message(manifest, row):
    rewrite(manifest, row, lambda payload: b"\xff" * len(payload))
    return "it is not a tf.train.Example"


def flip_byte(manifest, row):
    path = manifest.directory / manifest.shards[int(manifest.shard[row])].file
    data = bytearray(path.read_bytes())
    data[int(manifest.offset[row]) + HEADER + 30] ^= 4
    path.write_bytes(bytes(data))
    return "does not have its checksum"


def remove_shard(manifest, row):
    (manifest.directory / manifest.shards[int(manifest.shard[row])].file).unlink()
    return "No such file"


def batches_before_the_failure(dataset):
    """How many batches come before an error; None if there is none."""
    done = 0
    try:
        for _ in dataset:
            done += 1
    except FAILURES:
        return done
    return None


def check(text, manifest, row, words, named=True):
    shard = manifest.shards[int(manifest.shard[row])].file
    number = row - int((manifest.shard < manifest.shard[row]).sum())
    assert text.startswith(f"record {number} of {manifest.directory / shard} cannot be read (image id ")
    assert f"image id {manifest.image_id[row]}" in text and words in text and "\n" not in text
    assert (f"file {manifest.image_id[row]:012d}.jpg" in text) == named
    assert "run awsdet convert again (awsdet inspect --records=" in text


@pytest.mark.parametrize("spoil", [spoil_image, spoil_message, flip_byte])
def test_a_record_that_fails_in_training_is_named_by_the_rank_that_has_it(manifest, spoil):
    row, found = 8, []
    words = spoil(manifest, row)
    for rank in range(2):
        ranks = {"seed": 3, "rank": rank, "world_size": 2}
        done = batches_before_the_failure(train_dataset(manifest, options(), **ranks, epochs=1).dataset)
        if done is not None:
            found.append(broken_in_training(manifest, options(), **ranks, start=Position().advanced(4, done)))
    assert found
    for text in found:
        check(text, manifest, row, words, named=spoil is not spoil_message)


def test_a_partner_that_fails_is_named(manifest):
    """Not the image that its objects were to be pasted on."""
    settings = {"seed": 3, "rank": 0, "world_size": 1, "start": Position()}
    pasting = options(canvas=96, copy_paste=1.0)
    shown = plan.train_epoch(manifest, np.arange(13), pasting, 3, 0, 0, 1)
    row = next(row for place, row in enumerate(shown.partner["record"]) if row not in shown.record[: place + 1])
    words = spoil_image(manifest, row)
    check(broken_in_training(manifest, pasting, **settings), manifest, row, words)


def test_records_of_a_shard_that_is_gone_are_named(manifest):
    words = remove_shard(manifest, 12)
    text = broken_in_training(manifest, options(13), seed=0, rank=0, world_size=1, start=Position())
    assert words in text and manifest.shards[1].file in text


@pytest.mark.parametrize("row", [0, 5, 12])
def test_a_record_that_fails_in_evaluation_is_named(manifest, row):
    words = spoil_image(manifest, row)
    done = batches_before_the_failure(eval_dataset(manifest, options(), rank=0, world_size=1))
    check(broken_in_evaluation(manifest, options(), rank=0, world_size=1, done=done), manifest, row, words)


def test_where_nothing_is_broken_nothing_is_named(manifest):
    ranks = {"rank": 0, "world_size": 1}
    assert broken_in_training(manifest, options(), seed=0, **ranks, start=Position()) is None
    assert all(broken_in_evaluation(manifest, options(), **ranks, done=done) is None for done in (0, 6, 7, 99))


def test_errors_of_the_program_are_not_taken_for_broken_records():
    rows = {"record": np.zeros((1, 1), np.int32), "padded": np.zeros((1, 2)), "objects": np.zeros(1), "partner": {}}

    def load(rows, size):
        raise TypeError("a mistake in the reader")

    with pytest.raises(TypeError):
        first_broken(None, rows, load)

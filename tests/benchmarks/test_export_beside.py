"""What the benchmark of two exporters reads out of a SavedModel, whoever wrote it, and how it shows that."""

import argparse
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from benchmarks import export_beside
from benchmarks.learn import report
from benchmarks.systems import saved_model_calls


@pytest.fixture
def photo(tmp_path):
    """Path of a JPEG of 40 x 48 px."""
    pixels = np.random.default_rng(0).integers(0, 256, [40, 48, 3], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def finder(name, dtype):
    """A SavedModel's only signature: it finds as many objects as an image has rows."""

    class Finder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None] if dtype == tf.string else [None, None, None, 3], dtype)])
        def find(self, inputs):
            if dtype == tf.string:
                decode = lambda one: tf.io.decode_jpeg(one, 3)  # noqa: E731
                inputs = tf.map_fn(decode, inputs, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))
            size = tf.shape(inputs)[1:3]
            info = tf.cast(tf.tile(size[None, None], [tf.shape(inputs)[0], 4, 1]), tf.float32)
            return {name: tf.fill([tf.shape(inputs)[0]], size[0]), "image_info": info}

    return Finder()


def printed(capsys, module, folder, photo, steps=2):
    tf.saved_model.save(module, str(folder), {"serving_default": module.find})
    flags = argparse.Namespace(model=str(folder), image=str(photo), signature="serving_default", steps=steps)
    saved_model_calls.main(flags)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_encoded_images_are_called_and_asked_about(capsys, tmp_path, photo):
    figures = printed(capsys, finder("num_detections", tf.string), tmp_path / "model", photo)
    assert figures["objects"] == 40 and len(figures["seconds"]) == len(figures["cpu_seconds"]) == 2
    assert figures["turns"] is False and figures["mixes"] is False
    assert figures["signatures"] == ["serving_default"] and figures["outputs"]["image_info"] == [1, 4, 2, "float32"]
    held = saved_model_calls.nodes(tmp_path / "model")
    assert held == figures["nodes"] > 10  # the map over images is a function of its own


def test_pixels_are_called_and_not_asked_about(capsys, tmp_path, photo):
    figures = printed(capsys, finder("count", tf.uint8), tmp_path / "model", photo, steps=1)
    assert figures["objects"] == 40 and not {"turns", "mixes"} & set(figures)
    row = export_beside.cells(tmp_path / "model", 3.4, {**figures, "seconds": [0.1, 0.2, 0.9], "cpu_seconds": [0.3]})
    assert len(row) == len(export_beside.HEADER) - 3
    assert row[1] == "3" and row[3:5] == ["200", "300"] and row[6] == 40 and row[-2:] == ["-", "-"]


@pytest.mark.parametrize("turn", [True, False])
def test_a_model_that_turns_images_is_told_from_one_that_does_not(photo, turn):
    def call(*encoded):
        images = [Image.open(io.BytesIO(one)) for one in encoded]
        sizes = [(ImageOps.exif_transpose(image) if turn else image).size[::-1] for image in images]
        return {"image_size": tf.constant(sizes)}

    assert saved_model_calls.answers(call, photo.read_bytes()) == {"turns": turn, "mixes": True}


def test_a_model_that_says_no_size_is_not_judged(photo):
    assert saved_model_calls.answers(lambda *_: {}, photo.read_bytes()) == {"turns": None, "mixes": True}


def test_sides_that_a_system_would_pad_are_refused():
    assert export_beside.sides_of("640") == 640
    for text in ("600", "0", "-128", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not a multiple of 128"):
            export_beside.sides_of(text)


def test_both_tables_of_the_page_have_their_marks():
    text = export_beside.DOCS.read_text()
    changed = report.put_into(text, "new", marks=export_beside.MARKS)
    assert report.BEGIN in changed and "new" in changed.partition(export_beside.MARKS[0])[2]

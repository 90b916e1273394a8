"""Images of ../shared/field, which real tools wrote: see the README there."""

import json
import pathlib

import pytest

from awsdet import config
from awsdet.data.coco.images import ImageRefused, load_image, prepare_image
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.convert import convert
from awsdet.data.records.inspection import inspect
from awsdet.runtime.errors import UserError

FIELD = pathlib.Path(__file__).parents[3] / "shared" / "field"

pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason=f"needs {FIELD}")


def test_a_png_cut_before_its_end_is_trained_on(tmp_path):
    manifest = convert(FIELD / "png_noiend" / "ann.json", FIELD / "png_noiend" / "images", tmp_path, "train", workers=1)
    listed = json.loads((FIELD / "png_noiend" / "ann.json").read_text())["images"]
    assert manifest.num_images == len(listed) and manifest.anomalies.counts["image_repaired"] == 1
    assert "cut.png" in manifest.anomalies.examples["image_repaired"][0]
    assert inspect(tmp_path)[0].faults == []
    settings = config.mask_rcnn().data
    settings.batch_size = 1
    data = train_dataset(manifest, reader_options(settings), seed=0, rank=0, world_size=1, epochs=1)
    assert len(list(data.dataset)) == len(listed)


def test_floats_from_0_to_1_are_a_picture():
    stored = prepare_image((FIELD / "images" / "float01.tif").read_bytes())
    assert "image_float" in stored.notes
    assert load_image(FIELD / "images" / "float01.tif").max() > 200


def test_12_bits_in_16_are_refused_with_the_cure():
    path = FIELD / "images" / "grey12in16.tif"
    with pytest.raises(ImageRefused, match="reach only .* of 65535") as refused:
        prepare_image(path.read_bytes())
    assert refused.value.kind == "image_range_unknown"
    with pytest.raises(UserError, match=r"grey12in16\.tif: its 16-bit values reach only .*store it with 8 bits"):
        load_image(path)

"""Random COCO files in all dresses become the records that a slow, obvious reader says they must.

`AWSDET_RANDOM_FILES=5000` tries more of them.
"""

import collections
import json
import os
import random

import numpy as np
import pytest

from awsdet.data.records.convert import NothingToTrainOn, convert
from awsdet.data.records.examples import decode_annotations
from awsdet.data.records.read import read_examples
from tests.data import slow_reader
from tests.data.random_coco import SIZES, random_file, write_file, write_images

FILES = int(os.environ.get("AWSDET_RANDOM_FILES", 60))
IMAGES = {f"{number}.png": size for number, size in enumerate(SIZES)}


def test_records_are_what_a_slow_reader_reads(tmp_path):
    images = write_images(tmp_path / "images")
    outcomes = collections.Counter()
    for number in range(FILES):
        path, records = tmp_path / f"{number}.json", tmp_path / f"records{number}"
        write_file(path, random_file(random.Random(number)))
        wanted, names = slow_reader.read(json.loads(path.read_text()), IMAGES)
        objects = sum(one.trainable and not one.is_crowd for group in wanted.values() for one in group)
        if objects:
            compare(convert(path, images, records, "train", workers=1, shards=1), wanted, names, f"file {number}")
        else:
            with pytest.raises(NothingToTrainOn):
                convert(path, images, records, "train", workers=1, shards=1)
        outcomes[bool(objects)] += 1
        outcomes.update(kind(one) for group in wanted.values() for one in group)
    # Otherwise the files are not as various as they are to be.
    assert outcomes[True] > outcomes[False] and min(outcomes[k] for k in ("polygons", "RLE", "no mask")) > FILES // 10


def kind(one):
    return "polygons" if one.polygons else "no mask" if one.pixels is None else "RLE"


def compare(manifest, wanted, names, where):
    assert dict(zip(manifest.category_ids, manifest.class_names)) == names, where
    assert [manifest.own_image_id(number) for number in manifest.image_id] == list(wanted), where
    assert manifest.annotations.kept == sum(map(len, wanted.values())), where
    given = []
    for row, example in enumerate(read_examples(manifest)):
        found = decode_annotations(example.features.feature)
        expected = wanted[manifest.own_image_id(manifest.image_id[row])]
        assert len(found) == len(expected), where
        for one, other in zip(found, expected):
            compare_annotation(one, other, manifest, row, f"{where}, annotation {one.id}: {one}, {other}")
            given.append(one.id)
    assert len(set(given)) == len(given) and 0 not in given, where


def compare_annotation(found, expected, manifest, row, where):
    assert expected.id in (None, found.id), where
    assert manifest.category_ids[found.class_index] == expected.category, where
    assert found.bbox == pytest.approx(expected.box, rel=1e-9, abs=1e-6), where
    assert found.area == pytest.approx(expected.area, rel=1e-6, abs=1e-3), where
    assert (found.is_crowd, found.trainable) == (expected.is_crowd, expected.trainable), where
    if expected.polygons:
        assert found.counts is None and len(found.polygons) == len(expected.polygons), where
        for polygon, points in zip(found.polygons, expected.polygons):
            pairs = sorted(zip(polygon[0::2], polygon[1::2]))
            assert np.allclose(pairs, sorted((float(x), float(y)) for x, y in points), rtol=1e-6, atol=1e-3), where
    elif expected.pixels is not None:
        flags = np.repeat(np.arange(len(found.counts)) % 2 == 1, found.counts)
        height, width = manifest.height[row], manifest.width[row]
        assert not found.polygons and (flags.reshape(width, height).T == expected.pixels).all(), where
    else:
        assert not found.polygons and found.counts is None, where

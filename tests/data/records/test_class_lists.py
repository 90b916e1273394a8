"""Class lists of shards of the Object Detection API, and of splits that lack each other's classes."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet import config
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset
from awsdet.data.records.class_lists import fitted, united
from awsdet.data.records.manifest import AWSDET, class_difference
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError

MAP = "item { id: 1 name: '/m/1' display_name: 'cat' } item { id: 4 name: '/m/4' display_name: 'dog' }" + (
    "item { id: 9 name: '/m/9' display_name: 'cow' }"
)


def feature(values):
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def png():
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 30)).save(out, "PNG")
    return out.getvalue()


def shard(folder, *records, split="train"):
    """Writes a shard; each record: (source id, labels, texts, crowds)."""
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / f"{split}-00000-of-00001.tfrecord")) as writer:
        for source, labels, texts, crowds in records:
            count = max(len(labels), len(texts))
            sides = {"xmin": 0.25, "ymin": 0.25, "xmax": 0.75, "ymax": 0.5}
            features = {
                "image/encoded": [png()],
                "image/source_id": [source.encode()],
                "image/object/class/label": labels,
                "image/object/class/text": [text.encode() for text in texts],
                "image/object/is_crowd": crowds,
                **{f"image/object/bbox/{side}": [value] * count for side, value in sides.items()},
            }
            filled = {key: feature(values) for key, values in features.items() if values}
            writer.write(tf.train.Example(features=tf.train.Features(feature=filled)).SerializeToString())
    return folder


def test_the_label_map_is_the_class_list(tmp_path):
    folder = shard(tmp_path / "a", ("1", [4, 1], ["dog", "/m/1"], []), ("2", [], [], []))
    (folder / "classes.pbtxt").write_text(MAP)
    manifest = read_manifest(folder, "train")
    assert (manifest.class_names, manifest.category_ids) == (("cat", "dog", "cow"), (1, 4, 9))
    assert [a["category_id"] for a in read_ground_truth(manifest)["annotations"]] == [4, 1]
    data = config.mask_rcnn().data
    data.update(short_sides=(48,), eval_short_side=48, max_long_side=64)
    (batch,) = eval_dataset(manifest, reader_options(data), rank=0, world_size=1).take(1)
    assert sorted(batch["classes"].numpy()[batch["classes"].numpy() >= 0].tolist()) == [0, 1]


def test_a_label_map_that_comes_or_changes_later_is_read(tmp_path):
    folder = shard(tmp_path / "a", ("1", [4], ["dog"], []))
    assert read_manifest(folder, "train").class_names == ("dog",)
    (folder / "map.pbtxt").write_text(MAP)
    assert read_manifest(folder, "train").class_names == ("cat", "dog", "cow")
    written = (folder / "train.manifest.json").stat().st_mtime_ns
    assert read_manifest(folder, "train").category_ids == (1, 4, 9)
    assert (folder / "train.manifest.json").stat().st_mtime_ns == written  # not indexed again
    (folder / "map.pbtxt").write_text("item { id: 4 name: 'dog' }")
    assert read_manifest(folder, "train").class_names == ("dog",)


@pytest.mark.parametrize(
    "labels, texts, wanted",
    [
        ([], ["dog", "cow"], ("cat", "dog", "cow")),
        ([], ["/m/9"], ("/m/1", "/m/4", "/m/9")),  # as the shards name them, so that the reader finds them
        ([4, 9], [], ("cat", "dog", "cow")),
        ([], [], ("cat", "dog", "cow")),
    ],
)
def test_names_or_labels_alone_are_found_in_the_label_map(tmp_path, labels, texts, wanted):
    folder = shard(tmp_path / "a", ("1", labels, texts, []))
    (folder / "map.pbtxt").write_text(MAP)
    manifest = read_manifest(folder, "train")
    assert manifest.class_names == wanted and manifest.category_ids == (1, 4, 9)
    found = [a["category_id"] for a in read_ground_truth(manifest)["annotations"]]
    assert found == (labels or [{"dog": 4, "cow": 9, "/m/9": 9}[text] for text in texts])


@pytest.mark.parametrize(
    "labels, texts, words",
    [
        ([2], [], "use class label 2, which map.pbtxt does not have"),
        ([4], ["horse"], "class label 4 is 'horse' in the shards .* and 'dog' in map.pbtxt"),
        ([], ["horse"], "use the class 'horse', which map.pbtxt does not have"),
        ([], ["dog", "/m/1"], "names of both kinds"),
    ],
)
def test_a_label_map_of_other_shards_is_refused(tmp_path, labels, texts, words):
    folder = shard(tmp_path / "a", ("1", labels, texts, []))
    (folder / "map.pbtxt").write_text(MAP)
    with pytest.raises(UserError, match=words):
        read_manifest(folder, "train")


def test_records_keep_their_own_image_ids(tmp_path):
    """Numbers where they are int64; a map for all others; numbering where ids do not tell records apart."""
    ids = ["7", "007", "a/b.jpg", str(2**70), "-3"]
    manifest = read_manifest(shard(tmp_path / "a", *((one, [1], ["cat"], []) for one in ids)), "train")
    assert len(set(manifest.image_id.tolist())) == 5 and manifest.image_id[0] == 7
    assert [manifest.own_image_id(number) for number in manifest.image_id] == [7, *ids[1:]]
    again = read_manifest(tmp_path / "a", "train")
    assert again.image_ids == manifest.image_ids and len(again.image_ids) == 4
    for name, doubled in (("b", ["x", "x"]), ("c", ["", "5"])):
        manifest = read_manifest(shard(tmp_path / name, *((one, [1], ["cat"], []) for one in doubled)), "train")
        assert manifest.image_id.tolist() == [1, 2] and not manifest.image_ids


def test_splits_that_lack_each_others_classes_fit(tmp_path):
    first = read_manifest(shard(tmp_path / "a", ("1", [4, 1], ["dog", "cat"], [])), "train")
    second = read_manifest(shard(tmp_path / "b", ("1", [9, 4], ["cow", "dog"], [])), "train")
    for pair in (united(first, second), united(second, first)):
        assert {(m.class_names, m.category_ids) for m in pair} == {(("cat", "dog", "cow"), (1, 4, 9))}
    both = united(first, second)
    found = [[a["category_id"] for a in read_ground_truth(m)["annotations"]] for m in both]
    assert found == [[4, 1], [9, 4]]
    only = read_manifest(shard(tmp_path / "c", ("1", [4], ["dog"], [])), "train")
    assert united(first, only)[0] is first and united(only, first)[0].class_names == ("cat", "dog")


def test_names_without_labels_are_numbered_anew_for_both(tmp_path):
    first = read_manifest(shard(tmp_path / "a", ("1", [], ["dog", "bee"], [])), "train")
    second = read_manifest(shard(tmp_path / "b", ("1", [], ["cow"], [])), "train")
    first, second = united(first, second)
    assert first.class_names == second.class_names == ("bee", "cow", "dog")
    truths = [read_ground_truth(m)["annotations"] for m in (first, second)]
    assert [[a["category_id"] for a in truth] for truth in truths] == [[3, 1], [2]]


def test_lists_that_contradict_each_other_stay_as_they_are(tmp_path):
    first = read_manifest(shard(tmp_path / "a", ("1", [4, 1], ["dog", "cat"], [])), "train")
    other = read_manifest(shard(tmp_path / "b", ("1", [4], ["cow"], [])), "train")  # 4 is something else
    names = read_manifest(shard(tmp_path / "c", ("1", [], ["zebra"], [])), "train")
    for second in (other, names):
        assert united(first, second) == (first, second)
    own = first._replace(layout=AWSDET)  # its records hold places in the list
    assert fitted(own, ("cat", "dog", "cow"), (1, 4, 9)) is own
    assert fitted(other, ("cat", "dog"), (1, 4)) is other
    wider = fitted(first, ("cat", "bird", "dog"), (1, 2, 4))
    assert class_difference(wider.class_names, ("cat", "bird", "dog")) is None
    assert fitted(names, ("zebra", "zebra"), (1, 2)) is names  # two classes of that name: which one?
    assert fitted(names, ("ape", "zebra"), ("a", "z")) is names  # labels are int64
    assert fitted(names, ("ape", "zebra"), (3, 5)).category_ids == (3, 5)


def test_crowds_are_no_objects(tmp_path):
    manifest = read_manifest(shard(tmp_path / "a", ("1", [1, 1], ["cat", "cat"], [1, 1])), "train")
    assert manifest.annotations == (2, 2, 0) and manifest.num_objects.tolist() == [2]
    stored = json.loads((tmp_path / "a" / "train.manifest.json").read_text())
    assert stored["annotations"] == {"in_file": 2, "kept": 2, "objects": 0}
    np.testing.assert_array_equal(read_manifest(tmp_path / "a", "train").num_objects, [2])

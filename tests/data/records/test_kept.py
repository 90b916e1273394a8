"""What a conversion keeps of a file: its ids, as many annotations as it says, and something to train on."""

import json

import numpy as np
import pytest
from PIL import Image

from awsdet.cli.main import main
from awsdet.data.records.convert import NothingToTrainOn, convert
from awsdet.data.records.inspection import inspect, report
from awsdet.data.records.read import read_examples, read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError

HUGE = 2**70


def annotation(number, image_id, category_id=1, **changes):
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": [4, 4, 9, 9], **changes}


def write(folder, ids, annotations, categories=(1,), **more):
    """Writes images `0.png`, … of these ids, and a file of these annotations. Returns the flags of awsdet convert."""
    (folder / "images").mkdir(parents=True)
    images = []
    for place, one in enumerate(ids):
        Image.fromarray(np.full((24, 32, 3), 40 * place, np.uint8)).save(folder / "images" / f"{place}.png")
        images.append({"id": one, "file_name": f"{place}.png", "height": 24, "width": 32})
    names = [{"id": one, "name": f"class {one}"} for one in categories]
    content = {"images": images, "annotations": annotations, "categories": names, **more}
    (folder / "ann.json").write_text(json.dumps(content))
    return folder / "ann.json", folder / "images", folder / "records", "train"


def flags(annotations, images, output, split):
    return [
        f"--annotations={annotations}",
        f"--images={images}",
        f"--output={output}",
        f"--split={split}",
        "--workers=1",
    ]


@pytest.mark.parametrize(
    "annotations, words",
    [
        (
            [annotation(i, 1, 9) for i in (1, 2)],
            r"annotation of an unknown category: skipped \(2\), such as annotation 1",
        ),
        ([annotation(1, "1_0"), annotation(2, True)], r"annotation of an unknown image: skipped \(2\)"),
        ([annotation(1, 1, bbox=[]), "x", None], r"without a usable box or mask: skipped \(3\)"),
        ([annotation(1, 1, bbox=[4, 4, 0, 9]), annotation(2, 1, bbox=[-9, 4, 3, 3])], "evaluation only"),
        (
            [annotation(1, 1, iscrowd=1), annotation(2, 7)],
            r"unknown image: skipped \(1\), such as annotation 2 \(image 7\)",
        ),
        ([annotation(1, 1, iscrowd=1)], "they are crowd regions"),
    ],
)
def test_a_conversion_that_leaves_nothing_to_train_on_fails_and_says_why(tmp_path, capsys, annotations, words):
    places = write(tmp_path, [1], annotations)
    assert main(["convert", *flags(*places)]) == 2
    printed, error = capsys.readouterr()
    assert printed.startswith("Found in the annotations and images:") or "crowd" in words
    line = f"none of the {len(annotations)} annotations of .*ann.json is an object to train on: "
    assert len(error.strip().splitlines()) == 1
    with pytest.raises(NothingToTrainOn, match=f"{line}.*{words}"):
        convert(*places, workers=1)
    with pytest.raises(UserError, match="has not finished"):
        read_manifest(places[2], "train")


def test_images_that_are_all_lost_are_told_with_the_table(tmp_path, capsys):
    places = write(tmp_path, [None, 2.5], [annotation(1, 1)])
    assert main(["convert", *flags(*places)]) == 2
    printed, error = capsys.readouterr()
    assert "image entry without a usable id" in printed
    assert "lists no usable image: image entry without a usable id or file name: skipped (2)" in error


def test_a_file_without_annotations_is_a_set_of_empty_images(tmp_path, capsys):
    places = write(tmp_path, [1, 2], [])
    assert main(["convert", *flags(*places)]) == 0
    assert capsys.readouterr().out.strip().endswith("kept 0 of 0 annotations")
    assert read_manifest(places[2], "train").annotations == (0, 0, 0)


def test_the_last_line_says_how_much_was_kept(tmp_path, capsys):
    """A crowd and a box for evaluation only are kept; they are no objects."""
    annotations = [annotation(i, 1) for i in range(1, 1234)]
    annotations += [annotation(2000, 1, iscrowd=1), annotation(2001, 2, bbox=[4, 4, 0, 9]), annotation(2002, 3), "x"]
    places = write(tmp_path, [1, 2], annotations)
    assert main(["convert", *flags(*places), "--shards=2"]) == 0
    assert capsys.readouterr().out.strip().endswith("kept 1,235 of 1,237 annotations")
    assert read_manifest(places[2], "train").annotations == (1237, 1235, 1233)
    again = convert(*places, shards=2, workers=1)  # from the states of the shards
    assert again.annotations == (1237, 1235, 1233)


def test_ids_of_all_sorts_come_back_as_they_were(tmp_path):
    ids = ["1_25", "12_5", 125, HUGE, HUGE + 1, 2**53 + 1, 2**53, "007", "7", -4]
    categories = ["b", HUGE, 3, "a"]
    annotations = [annotation(f"n{i}", one, categories[i % 4], bbox=[i, 1, 9, 9]) for i, one in enumerate(ids)]
    places = write(tmp_path, ids, annotations, categories)
    convert(*places, workers=1, shards=2)
    manifest = read_manifest(places[2], "train")
    assert [manifest.own_image_id(number) for number in manifest.image_id] == ids
    assert len(set(manifest.image_id.tolist())) == len(ids)
    assert manifest.category_ids == (3, HUGE, "a", "b") and manifest.class_names[1] == f"class {HUGE}"
    truth = read_ground_truth(manifest)
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    for i, found in enumerate(truth["annotations"]):  # each box on its own image
        assert files[found["image_id"]] == f"{i}.png" and found["bbox"][0] == i
        assert found["category_id"] == categories[i % 4]
    assert len({found["id"] for found in truth["annotations"]}) == len(ids)
    features = [example.features.feature for example in read_examples(manifest)]
    assert [f["image/source_id"].bytes_list.value[0].decode() for f in features] == [str(one) for one in ids]
    labels = [f["image/object/class/label"].int64_list.value[0] for f in features]
    stored = json.loads((places[2] / "train.manifest.json").read_text())["classes"]
    by_category = {entry["category_id"]: entry.get("label", entry["category_id"]) for entry in stored}
    assert labels == [by_category[categories[i % 4]] for i in range(len(ids))] and len(set(labels)) == 4
    assert "class b" in report(inspect(places[2])[0])


def test_a_file_like_those_of_lvis_is_read(tmp_path):
    """URLs in place of file names, no iscrowd, lists of categories that were not annotated everywhere."""
    places = write(tmp_path, [9, 397133], [annotation(1, 397133, 1203, area=81.0), annotation(2, 9, 5)], (5, 1203))
    content = json.loads(places[0].read_text())
    for number, image in enumerate(content["images"]):
        del image["file_name"]
        image.update(coco_url=f"http://images.example.org/val2017/{number}.png", license=1, flickr_url="")
        image.update(neg_category_ids=[5], not_exhaustive_category_ids=[])
    for category in content["categories"]:
        category.update(synset="cat.n.01", synonyms=["cat"], frequency="r", image_count=1)
    places[0].write_text(json.dumps(content))
    manifest = convert(*places, workers=1)
    truth = read_ground_truth(manifest)
    assert [image["file_name"] for image in truth["images"]] == ["0.png", "1.png"]
    assert [(a["image_id"], a["category_id"]) for a in truth["annotations"]] == [(9, 5), (397133, 1203)]
    assert {"image_name_from_url": 2, "image_federated": 2}.items() <= manifest.anomalies.counts.items()


def test_equal_names_have_rows_of_their_own(tmp_path):
    places = write(tmp_path, [1], [annotation(1, 1, 1), annotation(2, 1, 2), annotation(3, 1, 2)], (1, 2))
    content = json.loads(places[0].read_text())
    content["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    places[0].write_text(json.dumps(content))
    manifest = convert(*places, workers=1)
    assert manifest.class_names == ("cat", "cat")
    lines = report(inspect(places[2])[0]).splitlines()
    rows = [line.split() for line in lines if "cat (id" in line and "#" in line]
    assert [row[:5] for row in rows] == [["1", "cat", "(id", "1)", "1"], ["2", "cat", "(id", "2)", "2"]]


def test_nests_that_json_takes_and_the_rest_does_not_are_refused(tmp_path):
    """Workers get annotations by pickle, which goes less deep than JSON."""
    places = write(tmp_path, [1, 2], [annotation(1, 1), annotation(2, 2)])
    text = places[0].read_text()
    for depth in (90, 400, 900, 980):
        places[0].write_text(
            text.replace('"bbox": [4, 4, 9, 9]', f'"note": {"[" * depth}{"]" * depth}, "bbox": [4, 4, 9, 9]')
        )
        try:
            assert convert(*places, workers=1, shards=2).num_images == 2
        except UserError as error:
            assert "too deeply" in str(error) and depth > 90

"""Small inputs as real tools write them, kept beside the repository: what became of each (shared/field/README.md)."""

import pathlib
import re

import pytest

from awsdet.cli.main import main
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.evaluation.coco_metric import coco_metrics

FIELD = pathlib.Path(__file__).parents[3] / "shared" / "field"
BOX, POLYGON = [10, 8, 20, 16], [10, 8, 30, 8, 30, 24, 10, 24]
NO_MASK = {"size": [48, 64], "counts": [48 * 64]}

# Folder -> (boxes, segmentations, kinds that are counted) of its records.
MASKS = {
    "seg_huge": ([[10, 8, 54, 40], BOX], [[[128, 96, 10, 96, 10, 8, 128, 8]], [POLYGON]], {"polygon_far"}),
    "seg_nested_empty": ([BOX], [NO_MASK], {"mask_absent"}),
    "seg_rle_inlist": ([BOX], [None], {"mask_form"}),
    "seg_points": ([BOX], [[POLYGON]], {"mask_form"}),
    "seg_two_point": ([BOX], [NO_MASK], {"polygon_box", "mask_dropped"}),
    "bbox_missing": ([BOX] * 3, [[POLYGON]] * 3, {"box_from_mask", "annotation_duplicate"}),
}


def field(name):
    folder = FIELD / name
    if not folder.is_dir():
        pytest.skip(f"needs the inputs in {FIELD}")
    return folder


@pytest.mark.parametrize("name", MASKS)
def test_what_is_good_of_an_annotation_is_kept(name, tmp_path):
    folder = field(name)
    boxes, segmentations, kinds = MASKS[name]
    manifest = convert(folder / "ann.json", folder / "images", tmp_path, "train", workers=1)
    truth = read_ground_truth(manifest)
    assert [a["bbox"] for a in truth["annotations"]] == boxes
    for annotation, expected in zip(truth["annotations"], segmentations):
        found = annotation["segmentation"]
        if expected is None:
            assert sum(found["counts"][1::2]) == 320
        elif isinstance(expected, list):
            assert [sorted(zip(p[0::2], p[1::2])) for p in found] == [sorted(zip(p[0::2], p[1::2])) for p in expected]
        else:
            assert found == expected
    assert set(manifest.anomalies.counts) == kinds
    assert coco_metrics(truth, [], with_masks=True)["mask_ap"] == 0


# Folder -> [(image id of the file, file name, boxes, category ids)] of its records.
IDENTITIES = {
    "ids_underscore": [("1_25", "a.png", [[2, 2, 10, 10]], [1]), ("12_5", "b.png", [[40, 30, 20, 15]], [2])],
    "ids_big_all": [(7706992903151817197, "a.png", [BOX], [1])],
    "ids_str": [("0001_frame", "a.png", [BOX], [1])],
    "cat_dup_name": [(1, "a.png", [BOX, [30, 20, 30, 20]], [0, 1])],
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_each_box_is_on_its_own_image(name, tmp_path):
    folder = field(name)
    convert(folder / "ann.json", folder / "images", tmp_path, "train", workers=1)
    manifest = read_manifest(tmp_path, "train")
    truth = read_ground_truth(manifest)
    found = [
        (
            manifest.own_image_id(image["id"]),
            image["file_name"],
            [a["bbox"] for a in truth["annotations"] if a["image_id"] == image["id"]],
            [a["category_id"] for a in truth["annotations"] if a["image_id"] == image["id"]],
        )
        for image in truth["images"]
    ]
    assert found == IDENTITIES[name]


def test_categories_of_one_name_are_two_rows(tmp_path):
    folder = field("cat_dup_name")
    manifest = convert(folder / "ann.json", folder / "images", tmp_path, "train", workers=1)
    truth = read_ground_truth(manifest)
    first = [{**a, "score": 1.0} for a in truth["annotations"] if a["category_id"] == 0]
    rows = coco_metrics(truth, first, with_masks=False)["per_class"]
    rows = {name: (row["objects"], round(row["box_ap"], 9)) for name, row in rows.items()}
    assert rows == {"cat (id 0)": (1, 1.0), "cat (id 1)": (1, 0.0)}


@pytest.mark.parametrize(
    "name, words",
    [
        ("dup_image_id", "image id 1 is given to two files, a/1.png and b/1.png"),
        ("all_dropped", r"none of the 2 annotations .* an unknown category: skipped \(2\), .*\(category 9\)"),
    ],
)
def test_what_cannot_be_understood_is_refused(name, words, tmp_path, capsys):
    folder = field(name)
    flags = [f"--annotations={folder}/ann.json", f"--images={folder}/images", f"--output={tmp_path}", "--split=train"]
    assert main(["convert", *flags, "--workers=1"]) == 2
    printed, error = capsys.readouterr()
    assert re.search(words, error) and len(error.strip().splitlines()) == 1
    assert ("unknown category" in printed) == (name == "all_dropped")

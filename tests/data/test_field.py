"""Small inputs as real tools write them, kept beside the repository: what became of each (shared/field/README.md)."""

import pathlib

import pytest

from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_ground_truth
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

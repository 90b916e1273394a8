"""Files of other formats are named, with the cure."""

import json

import pytest

from awsdet.data.coco.annotations import read_coco
from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.other_formats import name_of_content
from awsdet.runtime.errors import UserError

IMAGES = [{"id": 1, "file_name": "a.jpg", "height": 9, "width": 9}]
CATEGORIES = [{"id": 1, "name": "cat"}]
BOX = {"bbox": [1, 1, 3, 3]}


def coco(*annotations, **changes):
    return {"images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES, **changes}


VIA = {"filename": "a.jpg", "size": 12, "regions": [], "file_attributes": {}}
JSON = {
    "panoptic": (coco({"image_id": 1, "file_name": "a.png", "segments_info": []}), "panoptic .*panoptic2detection"),
    "captions": (coco({"id": 1, "image_id": 1, "caption": "a cat"}), "captions and no boxes; give the instances_"),
    "keypoints": (coco({"id": 1, "image_id": 1, "keypoints": [1, 2, 2]}), "keypoints without boxes"),
    "nested": (
        {"images": [{**IMAGES[0], "annotations": [BOX]}], "categories": CATEGORIES},
        "inside the entries of its",
    ),
    "nested_objects": (coco(images=[IMAGES[0], {**IMAGES[0], "id": 2, "objects": [BOX]}]), "inside the entries of its"),
    "results": ([{"image_id": 1, "category_id": 1, "score": 0.5, **BOX}], "results file .*give the annotation file"),
    "results_of_masks": ([{"image_id": 1, "category_id": 1, "score": 1, "segmentation": {}}], "COCO results file"),
    "labelme": ({"shapes": [], "imagePath": "a.jpg", "imageData": None}, "labelme file .*--from=labelme"),
    "via_project": ({"_via_settings": {}, "_via_img_metadata": {"a.jpg12": VIA}}, "VGG Image Annotator"),
    "via_annotations": ({"a.jpg12": VIA, "b.jpg7": {**VIA, "regions": {"0": {}}}}, "VGG Image Annotator"),
    "create_ml": ([{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {}}]}], "Create ML"),
    "label_studio": ([{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}], "Label Studio .*'COCO'"),
    "supervisely": ({"size": {"height": 9, "width": 9}, "tags": [], "objects": []}, "Supervisely"),
    "datumaro": ({"info": {}, "categories": {}, "items": []}, "Datumaro"),
    "geojson": ({"type": "FeatureCollection", "features": []}, "GeoJSON"),
    "list": ([1, 2], "holds a list"),
    "empty_list": ([], "holds a list"),
    "number": (12, "holds a single value .12.;"),
    "nothing": (None, "holds a single value .null.;"),
    "one_line_of_ground_truth": (
        {"source-ref": "s3://b/a.jpg", "boxes": {"annotations": []}},
        "SageMaker Ground Truth",
    ),
    "videos": ({"videos": [{"id": 1}], "annotations": [], "categories": CATEGORIES}, "videos, such as YouTube-VIS"),
    "wrapped": ({"coco": coco(BOX)}, r"no list 'images' .its keys: 'coco'.; it must be"),
    "many_keys": (dict.fromkeys("abcdefgh", 1), r".its keys: 'a', 'b', 'c', 'd', 'e', 'f', …"),
    "images_by_id": ({**coco(BOX), "images": {"1": {}}}, r"no list 'images' .'images' is an object.; it must be"),
    "lists_as_text": ({**coco(BOX), "images": "[]"}, r"no list 'images' .'images' is text."),
    "own": ({"format": "awsdet records 1", "shards": []}, "manifest of awsdet itself"),
    "no_categories": (
        {"images": IMAGES, "annotations": []},
        r"no list 'categories' .its keys: 'images', 'annotations'.; it must be",
    ),
    "null": (coco(annotations=None), r"no list 'annotations' .'annotations' is null."),
}
TEXT = {
    "voc": ('<?xml version="1.0"?>\n<annotation><object/></annotation>', "XML file of Pascal VOC .*--from=voc"),
    "voc_bare": ("<annotation>\n<folder>a</folder>", "XML file of Pascal VOC"),
    "cvat": ('<?xml version="1.0"?><annotations><version>1.1</version>', "CVAT"),
    "xml": ("<svg/>", "is an XML file"),
    "html": ("<!DOCTYPE html>\n<html><body>404", "web page"),
    "lfs": ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "lines": ('{"image": "a.jpg"}\n{"image": "b.jpg"}\n', "one JSON value per line"),
    "ground_truth": ('{"source-ref": "s3://b/a.jpg"}\n{"source-ref": "s3://b/b.jpg"}', "SageMaker Ground Truth"),
    "yolo": ("0 0.5 0.5 0.1 0.2\n12 0.25 0.5 1e-2 0.2\n", "text file of YOLO .*--from=yolo"),
    "yolo_polygon": ("0 0.5 0.5 0.1 0.2 0.3 0.3", "text file of YOLO"),
    "yaml": ("# data\npath: ../x\nnames:\n  0: cat\n", "YAML file .*--from=yolo"),
    "csv": ("filename,width,height,class,xmin\na.jpg,9,9,cat,1\n", "comma-separated"),
    "label_map": ("item {\n  id: 1\n  name: 'cat'\n}", "label map of the Object Detection API"),
}


@pytest.mark.parametrize("name", [*JSON, *TEXT])
def test_a_file_of_another_format_is_named(tmp_path, name):
    content, words = {**JSON, **TEXT}[name]
    (tmp_path / "a.json").write_text(content if name in TEXT else json.dumps(content))
    with pytest.raises(UserError, match=f"annotation file .* {words}") as error:
        read_coco(tmp_path / "a.json", Anomalies())
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        coco(),
        coco(BOX),
        coco({**BOX, "keypoints": [1, 2, 2]}, {**BOX, "caption": "a cat"}),
        coco({**BOX, "segments_info": []}),
        coco({"caption": "a cat"}, BOX),  # the first is counted as malformed, the second read
        coco(BOX, images=[{**IMAGES[0], "annotations": [], "regions": None}]),
        coco(BOX, type="instances", info={"regions": []}),
    ],
)
def test_detection_files_are_not_taken_for_others(content):
    assert name_of_content(content) is None

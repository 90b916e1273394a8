"""The page and the JSON of a report, on records in which everything is odd."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from awsdet.analysis import folder as output
from awsdet.analysis.pictures import RIGHT, Painter
from awsdet.analysis.report import analyse
from awsdet.analysis.report_json import report_json
from awsdet.analysis.report_page import MARK, picture_count, report_page
from awsdet.data.coco.rle import to_rle
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import Progress
from tests.survey import odd_set
from tests.survey.html_reader import Page


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read_manifest(odd_set.make(tmp_path_factory.mktemp("odd")), "train")


@pytest.fixture(scope="module")
def truth(manifest):
    return read_ground_truth(manifest)


def detections(truth):
    """Most objects, some of them with the wrong class, beside others, and one where nothing is."""
    results = []
    for index, one in enumerate(a for a in truth["annotations"] if not a["iscrowd"]):
        if index % 5 == 4:
            continue
        x, y, width, height = one["bbox"]
        shift = 0.4 * width if index % 4 == 3 else 0
        category = one["category_id"] if index % 3 else 7
        found = {"image_id": one["image_id"], "category_id": category, "score": 0.9 - index / 100}
        results.append({**found, "bbox": [x + shift, y, width, height]})
    results.append({"image_id": 9, "category_id": 8, "score": 0.95, "bbox": [20.0, 20.0, 40.0, 40.0]})
    return results


def written(report, manifest):
    with Progress(picture_count(report), "draw", "pictures", enabled=False) as progress:
        return report_page(report, manifest, "runs/mine <b>", progress)


@pytest.fixture(scope="module")
def report(truth):
    return analyse(truth, detections(truth), with_masks=False)


@pytest.fixture(scope="module")
def html(report, manifest):
    return written(report, manifest)


def test_the_page_is_whole_and_needs_nothing_else(html):
    page = Page(html)
    assert page.unclosed == [] and MARK in html[:2000] and "script-src 'none'" in html
    assert "prefers-color-scheme: dark" in html and "@media print" in html and ".pairs {" in html
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "form"} and not re.search(r"url\(|@import", html)
    addresses = [a[key] for _, a in page.elements for key in ("src", "href") if a.get(key)]
    assert addresses and all(address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    ids = {a.get("id") for _, a in page.elements}
    assert {address[1:] for address in addresses if address[0] == "#"} <= ids
    assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)]


def test_names_stay_text(html):
    page = Page(html)
    assert odd_set.INJECTED in page.texts and odd_set.ODD_FILE in page.texts and "runs/mine <b>" in page.texts


def test_the_figures_of_the_page_are_those_of_the_json(html, report, manifest, truth):
    figures = json.loads(json.dumps(report_json(report, manifest, "runs/mine"), allow_nan=False))
    text = " ".join(Page(html).texts)
    assert f"AP at IoU 0.5 is {100 * figures['box']['tide']['ap']:.1f}" in text
    for name, found in figures["box"]["suspects"].items():
        assert found["count"] == len(report.kinds[0].suspects[name])
    first = figures["box"]["suspects"]["unlabelled"]["listed"][0]
    assert first["image_id"] == 9 and first["score"] == 0.95 and first["bbox"] == [20, 20, 40, 40]
    cells = figures["box"]["confusion"]["cells"]
    assert sum(cell["count"] for cell in cells) == report.kinds[0].confusion.matrix.sum() > 0
    assert None in {cell["true"] for cell in cells} | {cell["detected"] for cell in cells}
    assert figures["metrics"]["box_ap"] == report.metrics["box_ap"] and figures["split"] == "train"
    assert set(figures["box"]["areas_per_class"]) <= set(figures["classes"])
    assert figures["box"]["worst_images"][0]["image_id"] in manifest.image_id.tolist()


def pixels(picture):
    code = picture.address.removeprefix("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")).astype(int)


def near(image, color):
    """How many pixels have nearly this colour."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=-1) < 40).sum())


def test_pictures_show_errors_in_their_colours(truth, manifest):
    one = next(a for a in truth["annotations"] if a["image_id"] == 5)
    right = {"image_id": 5, "category_id": one["category_id"], "score": 0.9, "bbox": one["bbox"]}
    wrong = {**right, "category_id": 3}
    colors = {}
    for name, results in (("right", [right]), ("wrong", [wrong]), ("missed", [])):
        made = analyse(truth, results, with_masks=False, score=0.5)
        true, found = Painter(made, manifest).pair(made.kinds[0], made.image_ids.index(5))
        wanted = RIGHT, "#cc79a7", "#c8102e"
        colors[name] = [[near(pixels(picture), color) for color in wanted] for picture in (true, found)]
    # The scene itself has some of these colours: it is what is left in the pictures without detections.
    scenery = colors["missed"][1]
    for name, panel, color in (("right", 0, 0), ("right", 1, 0), ("wrong", 1, 1), ("missed", 0, 2), ("wrong", 0, 0)):
        more = [count - before for count, before in zip(colors[name][panel], scenery)]
        assert more[color] > 500 and more[color] > 5 * max(more[i] for i in range(3) if i != color), (name, panel)


def test_masks_have_sections_of_their_own(truth, manifest):
    """Detections with the true masks: of objects with polygons, all is right."""
    results = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": 0.9 - i / 99, "bbox": a["bbox"]}
        | {"segmentation": _rle(a, manifest)}
        for i, a in enumerate(a for a in truth["annotations"] if not a["iscrowd"])
    ]
    made = analyse(truth, results, with_masks=True)
    page = Page(written(made, manifest))
    assert {"box", "mask", "suspects"} <= {a.get("id") for _, a in page.elements}
    assert made.kinds[1].tide.ap == pytest.approx(made.metrics["mask_ap50"])
    assert set(report_json(made, manifest, "x")) >= {"box", "mask"}


def _rle(annotation, manifest):
    row = manifest.image_id.tolist().index(annotation["image_id"])
    return to_rle(annotation["segmentation"], (manifest.height[row], manifest.width[row]))


def test_no_detections_and_no_objects(truth, manifest):
    nothing = analyse(truth, [], with_masks=False)
    text = " ".join(Page(written(nothing, manifest)).texts)
    assert "Nothing was detected at all" in text and nothing.kinds[0].score == 0.5
    empty = analyse({**truth, "annotations": []}, detections(truth), with_masks=False)
    page = Page(written(empty, manifest))
    assert "There are no objects in this split" in " ".join(page.texts) and page.unclosed == []
    json.dumps(report_json(empty, manifest, "x"), allow_nan=False)


def test_1200_classes_stay_readable(manifest):
    """The matrix and the curves show the worst classes, and say so."""
    ids = manifest.image_id.tolist()
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": int(h), "width": int(w)}
            for i, h, w in zip(ids, manifest.height, manifest.width)
        ],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1200)],
        "annotations": [
            {"id": k + 1, "image_id": ids[k % len(ids)], "category_id": k, "bbox": [10, 10, 30, 30], "area": 900}
            for k in range(400)
        ],
    }
    results = [
        {**{key: a[key] for key in ("image_id", "bbox")}, "category_id": a["category_id"] + a["id"] % 2, "score": 0.5}
        for a in truth["annotations"]
    ]
    made = analyse(truth, results, with_masks=False)
    html = written(made, manifest)
    text = " ".join(Page(html).texts)
    assert "The 1,176 classes that are confused least are left out" in text and "the 100 worst of 400" in text
    assert "Classes without objects in this split, which have no AP: 800." in text
    assert len(html) < 8_000_000


def test_the_folder_keeps_files_of_others(tmp_path, html):
    output.check(tmp_path / "new")
    output.write(tmp_path / "new", html, {"format": "awsdet analysis 1"})
    output.check(tmp_path / "new")  # its own files are replaced
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["analysis.json", "index.html"]
    for name in ("index.html", "analysis.json"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).write_text("<html>mine</html>")
        with pytest.raises(UserError, match=f"holds {name}, which awsdet analyse did not write; name another folder"):
            output.check(folder)
        assert (folder / name).read_text() == "<html>mine</html>"

"""The COCO metric: known answers, and agreement with pycocotools on real annotations."""

import contextlib
import copy
import io
import json
import pathlib

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.evaluation import official_metric
from awsdet.evaluation.coco_metric import NUMBERS, coco_metrics
from awsdet.evaluation.table import format_table
from awsdet.runtime.errors import UserError

COCO_TINY = pathlib.Path(__file__).parents[2].parent / "shared/data/coco_tiny/annotations/instances_val2017.json"


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def small_truth():
    """Three images (one empty) with gaps in all ids, an annotation with id 0, a crowd and a class without objects."""
    boxes = [
        (7, 5, (10, 12, 40, 40)),
        (7, 90, (100, 60, 50, 20)),
        (900, 5, (3, 3, 200, 150)),
        (900, 5, (250, 3, 30, 30)),
    ]
    annotations = [
        {
            "id": 10 * i,
            "image_id": image,
            "category_id": category,
            "bbox": list(map(float, box)),
            "area": float(box[2] * box[3]),
            "segmentation": rectangle(*box),
            "iscrowd": 0,
        }
        for i, (image, category, box) in enumerate(boxes)
    ]
    crowd = np.zeros((240, 320), np.uint8, order="F")
    crowd[200:230, 10:300] = 1
    runs = np.flatnonzero(np.diff(crowd.reshape(-1, order="F"), prepend=0, append=0))
    counts = np.diff(np.concatenate([[0], runs, [crowd.size]])).tolist()
    annotations.append(
        {
            "id": 77,
            "image_id": 900,
            "category_id": 90,
            "bbox": [10.0, 200.0, 290.0, 30.0],
            "area": 8700.0,
            "segmentation": {"size": [240, 320], "counts": counts},
            "iscrowd": 1,
        }
    )
    return {
        "images": [{"id": i, "height": 240, "width": 320} for i in (7, 12, 900)],
        "annotations": annotations,
        "categories": [{"id": 5, "name": "cat"}, {"id": 44, "name": "nothing"}, {"id": 90, "name": "dog"}],
    }


def as_results(truth, rng=None, jitter=0.0):
    """Ground truth as detections, moved by `jitter` (pixels); some have another class or appear twice."""
    sizes = {i["id"]: (i["height"], i["width"]) for i in truth["images"]}
    category_ids = [c["id"] for c in truth["categories"]]
    results = []
    for a in truth["annotations"]:
        if a["iscrowd"]:
            continue
        for _ in range(1 if rng is None else rng.integers(0, 4)):
            shift = np.zeros(2) if rng is None else rng.normal(0, jitter, 2)
            box = np.array(a["bbox"]) + [*shift, 0, 0]
            parts = [(np.array(p).reshape(-1, 2) + shift).reshape(-1).tolist() for p in a["segmentation"]]
            rle = coco_mask.merge(coco_mask.frPyObjects(parts, *sizes[a["image_id"]]))
            wrong = rng is not None and rng.uniform() < 0.1
            results.append(
                {
                    "image_id": a["image_id"],
                    "category_id": int(rng.choice(category_ids)) if wrong else a["category_id"],
                    "bbox": box.tolist(),
                    "score": 0.9 if rng is None else float(np.round(rng.uniform(), 2)),  # with ties
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
                }
            )
    return results


def test_truth_as_detections_is_perfect_and_the_input_is_left_alone():
    truth = small_truth()
    kept = copy.deepcopy(truth)
    metrics = coco_metrics(truth, as_results(truth), with_masks=True)
    assert truth == kept
    for kind in ("box", "mask"):
        assert metrics[f"{kind}_ap"] == metrics[f"{kind}_ap75"] == metrics[f"{kind}_ar100"] == pytest.approx(1)
    assert metrics["box_ap_small"] == metrics["box_ap_medium"] == metrics["box_ap_large"] == pytest.approx(1)
    assert list(metrics["per_class"]) == ["cat", "nothing", "dog"]
    assert metrics["per_class"]["cat"] == {"objects": 3, "box_ap": pytest.approx(1), "mask_ap": pytest.approx(1)}
    assert metrics["per_class"]["nothing"] == {"objects": 0, "box_ap": -1, "mask_ap": -1}
    assert metrics["per_class"]["dog"]["objects"] == 1  # the crowd is no object


def test_the_mean_of_a_curve_is_its_ap():
    truth = small_truth()
    results = as_results(truth, np.random.default_rng(3), jitter=4.0)
    metrics = coco_metrics(truth, results, with_masks=True)
    assert set(metrics["curves"]) == {"box_ap50", "box_ap75", "mask_ap50", "mask_ap75"}
    for name, curve in metrics["curves"].items():
        assert len(curve) == 101 and np.all(np.diff(curve) <= 0)
        assert np.mean(curve) == pytest.approx(metrics[name], abs=1e-4)


def test_no_detections_and_boxes_only():
    truth = small_truth()
    metrics = coco_metrics(truth, [], with_masks=True)
    assert metrics["box_ap"] == metrics["mask_ap"] == 0
    metrics = coco_metrics(truth, as_results(truth), with_masks=False)
    assert set(metrics) == {f"box_{n}" for n in NUMBERS} | {"per_class", "curves"}


def test_no_objects_at_all():
    truth = {**small_truth(), "annotations": []}
    metrics = coco_metrics(truth, as_results(small_truth()), with_masks=True)
    assert metrics["box_ap"] == metrics["mask_ap_small"] == -1


def test_false_alarm_on_an_image_without_objects_costs_precision():
    truth = small_truth()
    results = as_results(truth)
    results.append({**results[1], "image_id": 12, "score": 0.95})
    metrics = coco_metrics(truth, results, with_masks=False)
    assert metrics["per_class"]["dog"]["box_ap"] == pytest.approx(0.5)
    assert metrics["per_class"]["cat"]["box_ap"] == pytest.approx(1)


def test_pycocotools_is_kept_quiet(capsys):
    truth = small_truth()
    coco_metrics(truth, as_results(truth), with_masks=True)
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not COCO_TINY.is_file(), reason="needs ../shared/data/coco_tiny")
def test_equals_plain_pycocotools_on_coco(tmp_path):
    truth = json.loads(COCO_TINY.read_text())
    results = as_results(truth, np.random.default_rng(8), jitter=3.0)
    metrics = coco_metrics(truth, results, with_masks=True)
    assert 0.1 < metrics["mask_ap"] < 0.9
    for name, kind, dropped in [("box", "bbox", "segmentation"), ("mask", "segm", "bbox")]:
        file = tmp_path / f"{kind}.json"
        file.write_text(json.dumps([{k: v for k, v in r.items() if k != dropped} for r in results]))
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(COCO_TINY))
            plain = COCOeval(coco, coco.loadRes(str(file)), kind)
            plain.evaluate()
            plain.accumulate()
            plain.summarize()
        ours = [metrics[f"{name}_{number}"] for number in NUMBERS]
        np.testing.assert_allclose(ours, plain.stats, rtol=0, atol=1e-9)
        per_class = [row[f"{name}_ap"] for row in metrics["per_class"].values()]
        present = [ap for ap in per_class if ap >= 0]
        assert np.mean(present) == pytest.approx(plain.stats[0], abs=1e-9)


def test_the_official_metric_is_the_same(capsys):
    truth = small_truth()
    results = as_results(truth, np.random.default_rng(8), jitter=3.0)
    before = copy.deepcopy((truth, results))
    metrics = coco_metrics(truth, results, with_masks=True)
    official_metric.check(metrics, truth, results, with_masks=True)
    assert (truth, results) == before and capsys.readouterr().out == ""
    for name in ("box_ap_small", "mask_ar_large"):
        with pytest.raises(RuntimeError, match=f"{name} is .*, and pycocotools has .*please report this"):
            official_metric.check({**metrics, name: metrics[name] + 1e-11}, truth, results, with_masks=True)


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("left", [0, 4])
def test_the_official_metric_of_hard_cases(with_masks, left):
    """Ids with gaps and an id 0, a crowd, an image and a class without objects; with and without detections."""
    truth = small_truth()
    results = [{**result, "mask_score": 1 - result["score"]} for result in as_results(truth)][:left]
    metrics = coco_metrics(truth, results, with_masks)
    assert official_metric.official_metrics(truth, results, with_masks).keys() == metrics.keys() - {
        "per_class",
        "curves",
    }
    official_metric.check(metrics, truth, results, with_masks)


def test_masks_are_ranked_by_their_own_score_and_boxes_by_theirs():
    truth = small_truth()
    good = as_results(truth)
    elsewhere = {"size": [240, 320], "counts": coco_mask.encode(np.zeros((240, 320), np.uint8, "F"))["counts"].decode()}
    # For each object there is an equally good box with an empty mask; only its mask score ranks it last.
    empty = [{**r, "segmentation": elsewhere, "score": 0.95} for r in good]
    first = coco_metrics(truth, good + empty, with_masks=True)
    assert first["box_ap"] == pytest.approx(1) and first["mask_ap"] < 0.6
    scored = [{**r, "mask_score": 0.8} for r in good] + [{**r, "mask_score": 0.01} for r in empty]
    metrics = coco_metrics(truth, scored, with_masks=True)
    assert metrics["mask_ap"] == pytest.approx(1) and metrics["box_ap"] == first["box_ap"]


def test_categories_of_one_name_have_rows_of_their_own():
    """Before, the second took over the row of the first, and its objects."""
    truth = small_truth()
    results = [r for r in as_results(truth) if r["category_id"] != truth["categories"][0]["id"]]
    expected = coco_metrics(truth, results, with_masks=False)
    ids = [c["id"] for c in truth["categories"]]
    for category in truth["categories"]:
        category["name"] = "cat"
    metrics = coco_metrics(truth, results, with_masks=False)
    assert list(metrics["per_class"]) == [f"cat (id {one})" for one in ids]
    assert list(metrics["per_class"].values()) == list(expected["per_class"].values())
    assert metrics["per_class"][f"cat (id {ids[0]})"]["box_ap"] == 0 < metrics["box_ap"]
    rows = [line.split() for line in format_table(metrics).splitlines() if line.startswith("cat ")]
    assert [row[:4] for row in rows] == [["cat", "(id", f"{ids[0]})", "3"], ["cat", "(id", f"{ids[2]})", "1"]]


def test_category_ids_may_be_of_any_type():
    truth = small_truth()
    expected = coco_metrics(truth, as_results(truth, np.random.default_rng(3)), with_masks=True)
    changed = dict(zip([c["id"] for c in truth["categories"]], ["b", 2**70, "a"]))
    results = as_results(truth, np.random.default_rng(3))
    for entry in (*truth["annotations"], *results):
        entry["category_id"] = changed[entry["category_id"]]
    for category in truth["categories"]:
        category["id"] = changed[category["id"]]
    metrics = coco_metrics(truth, results, with_masks=True)
    assert metrics["per_class"] == expected["per_class"]
    assert metrics["mask_ap"] == pytest.approx(expected["mask_ap"], abs=1e-12)


WILD = {
    "far": [10, 8, 1e9, 8, 1e9, 1e9],
    "farther": [10, 8, -1e308, 8, 1e308, 1e9],
    "NaN": [10, 8, float("nan"), 8, 9, 9],
}


@pytest.mark.parametrize("polygon", WILD.values(), ids=WILD)
def test_masks_of_any_numbers_are_scored(polygon):
    """As a record of another tool, or of an earlier version, may have them: pycocotools alone crashes or never ends."""
    truth = small_truth()
    results = as_results(truth)
    truth["annotations"][0] = {**truth["annotations"][0], "segmentation": [polygon]}
    assert 0 <= coco_metrics(truth, results, with_masks=True)["mask_ap"] < 1


def test_boxes_of_any_numbers_are_scored():
    truth = small_truth()
    results = as_results(truth)
    for box in ([float("nan")] * 4, [1e308] * 4, [-1e308, 0, float("inf"), 1], [0, 0, 0, 0], [5, 5, -1e9, -1e9]):
        truth["annotations"][0] = {**truth["annotations"][0], "bbox": box}
        assert 0 <= coco_metrics(truth, results, with_masks=False)["box_ap"] < 1


def test_runs_that_do_not_fit_their_image_are_named():
    truth = small_truth()
    first = truth["annotations"][0]
    size = next([i["height"], i["width"]] for i in truth["images"] if i["id"] == first["image_id"])
    truth["annotations"][0] = {**first, "segmentation": {"size": size, "counts": [3, 4_000_000_000]}}
    with pytest.raises(
        UserError, match=rf"mask of annotation {first['id']} of image {first['image_id']} cannot be used"
    ):
        coco_metrics(truth, as_results(small_truth()), with_masks=True)

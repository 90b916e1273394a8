"""The scores equal those of pycocotools' COCOeval, number by number, on random data with all special cases."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.evaluation.coco_metric import NUMBERS, coco_metrics
from awsdet.evaluation.coco_scores import Objects, score

HEIGHT, WIDTH, CLASSES = 150, 200, 3


def random_boxes(random, count, longest=150):
    """float64 [count, 4] x y w h in whole pixels, so that overlaps are often equal; sizes around 32 and 96 pixels."""
    size = np.ceil(np.exp(random.uniform(np.log(6), np.log(longest), (count, 2))))
    corner = np.floor(random.uniform(0, 1, (count, 2)) * np.maximum([WIDTH, HEIGHT] - size, 1))
    return np.concatenate([corner, size], axis=1)


def random_case(seed, images=25, objects=6, detections=25, crowds=0.15):
    """(truth, crowd, found, scores) of boxes; some images have no objects, some no detections."""
    random = np.random.default_rng(seed)
    truth = random_boxes(random, images * objects)
    truth[1::5] = truth[::5][: len(truth[1::5])]  # the same object twice
    found = random_boxes(random, images * detections)
    copied = random.integers(0, max(len(truth), 1), len(found) // 2)
    if len(truth):
        found[: len(copied)] = truth[copied] + random.integers(-6, 7, (len(copied), 4)) * [1, 1, 0.5, 0.5]
        found[:, 2:] = np.maximum(found[:, 2:], 0)  # some have no area
    truth_images, truth_classes = random.integers(0, images, len(truth)), random.integers(0, CLASSES - 1, len(truth))
    found_images, found_classes = random.integers(0, images, len(found)), random.integers(0, CLASSES, len(found))
    if len(truth):
        found_images[: len(copied)], found_classes[: len(copied)] = truth_images[copied], truth_classes[copied]
    return (
        Objects(truth_images, truth_classes, truth[:, 2] * truth[:, 3] * random.uniform(0.7, 1, len(truth)), truth),
        random.uniform(size=len(truth)) < crowds,
        Objects(found_images, found_classes, found[:, 2] * found[:, 3], found),
        np.round(random.uniform(size=len(found)), 1),
    )


def as_masks(truth, crowd, found, scores):
    """The same objects as ellipses."""

    def ellipses(objects, areas=None):
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        images = [
            np.hypot((x - left) / max(w, 1) - 0.5, (y - top) / max(h, 1) - 0.5) < 0.5
            for left, top, w, h in objects.shapes
        ]
        codes = [coco_mask.encode(np.asfortranarray(image, np.uint8)) for image in images]
        areas = np.array([image.sum() for image in images], float) if areas is None else areas
        return Objects(objects.images, objects.classes, areas, codes)

    return ellipses(truth, truth.areas), crowd, ellipses(found), scores


def by_pycocotools(truth, crowd, found, scores, images, kind):
    """COCOeval after all its steps; ids of images and classes are their numbers in the arrays plus 1."""
    field = {"bbox": "bbox", "segm": "segmentation"}[kind]

    def entries(objects, more):
        shapes = objects.shapes.tolist() if kind == "bbox" else objects.shapes
        columns = zip(objects.images.tolist(), objects.classes.tolist(), objects.areas.tolist(), shapes, more.tolist())
        return [
            {"id": i, "image_id": image + 1, "category_id": k + 1, "area": area, field: shape, "iscrowd": 0, **extra}
            for i, (image, k, area, shape, extra) in enumerate(columns, start=1)
        ]

    coco, answers = COCO(), COCO()
    frames = [{"id": i + 1, "height": HEIGHT, "width": WIDTH} for i in range(images)]
    categories = [{"id": k + 1, "name": str(k)} for k in range(CLASSES)]
    common = {"images": frames, "categories": categories}
    coco.dataset = {**common, "annotations": entries(truth, np.array([{"iscrowd": int(c)} for c in crowd]))}
    answers.dataset = {**common, "annotations": entries(found, np.array([{"score": s} for s in scores.tolist()]))}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        answers.createIndex()
        scored = COCOeval(coco, answers, kind)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return scored


def check(case, images, kind):
    ours = score(*case, CLASSES)
    theirs = by_pycocotools(*case, images, kind)
    np.testing.assert_allclose(ours.precision, theirs.eval["precision"][..., -1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.recall, theirs.eval["recall"], rtol=0, atol=1e-12)
    return theirs


@pytest.mark.parametrize("seed", range(6))
def test_boxes(seed):
    theirs = check(random_case(seed), 25, "bbox")
    assert 0.03 < theirs.stats[0] < 0.95 and (theirs.stats[:5] > -1).all()


@pytest.mark.parametrize("seed", [10, 11])
def test_masks(seed):
    theirs = check(as_masks(*random_case(seed, images=10, detections=15)), 10, "segm")
    assert 0.05 < theirs.stats[0] < 0.95


def test_more_detections_of_a_class_than_count_in_an_image():
    case = random_case(20, images=2, objects=20, detections=500)
    counts = np.bincount(case[2].images * CLASSES + case[2].classes)
    assert counts.max() > 120
    check(case, 2, "bbox")


@pytest.mark.parametrize("case", [{"objects": 0}, {"detections": 0}, {"crowds": 1.0}, {"crowds": 0.0}])
def test_nothing_of_one_kind(case):
    check(random_case(30, **case), 25, "bbox")


def test_many_pairings_are_matched_in_parts(monkeypatch):
    whole = score(*random_case(40), CLASSES)
    monkeypatch.setattr("awsdet.evaluation.coco_scores._CELLS", 300)
    parts = score(*random_case(40), CLASSES)
    np.testing.assert_array_equal(whole.precision, parts.precision)
    np.testing.assert_array_equal(whole.recall, parts.recall)


def test_a_box_that_is_not_finite_matches_nothing():
    truth, crowd, found, scores = random_case(50)
    broken = np.zeros(len(scores), bool)
    broken[::7] = True
    elsewhere, lost = found.shapes.copy(), found.shapes.copy()
    elsewhere[broken], lost[broken] = [-900, -900, 40, 40], np.nan
    expected = score(truth, crowd, found._replace(shapes=elsewhere), scores, CLASSES)
    answer = score(truth, crowd, found._replace(shapes=lost), scores, CLASSES)
    np.testing.assert_array_equal(answer.precision, expected.precision)


def test_metric_by_ids_of_any_order():
    """Ids that are neither dense nor sorted, a category that is not in the list, an image without anything."""
    truth, crowd, found, scores = random_case(60)
    image_id, category_id = np.random.default_rng(0).permutation(99)[:26] + 5, np.array([40, 7, 21])
    shared = [
        {"image_id": int(image_id[i]), "category_id": int(category_id[k])} for i, k in zip(found.images, found.classes)
    ]
    results = [{**s, "bbox": b, "score": c} for s, b, c in zip(shared, found.shapes.tolist(), scores.tolist())]
    annotations = [
        {
            "id": i,
            "image_id": int(image_id[n]),
            "category_id": int(category_id[k]),
            "bbox": b,
            "area": a,
            "iscrowd": int(c),
        }
        for i, (n, k, b, a, c) in enumerate(zip(truth.images, truth.classes, truth.shapes.tolist(), truth.areas, crowd))
    ]
    names = ["first", "second", "third"]
    dataset = {
        "images": [{"id": int(i), "height": HEIGHT, "width": WIDTH} for i in image_id],
        "annotations": annotations,
        "categories": [{"id": int(i), "name": name} for i, name in zip(category_id, names)],
    }
    with_unknown = results + [{**results[0], "category_id": 3, "score": 1.0}]
    metrics = coco_metrics(dataset, with_unknown, with_masks=False)
    # In the order of the ids, since that decides between equal scores.
    position, kind = np.argsort(np.argsort(image_id)), np.argsort(np.argsort(category_id))
    truth = truth._replace(images=position[truth.images], classes=kind[truth.classes])
    found = found._replace(images=position[found.images], classes=kind[found.classes])
    theirs = by_pycocotools(truth, crowd, found, scores, 26, "bbox")
    ours = [metrics[f"box_{number}"] for number in NUMBERS]
    np.testing.assert_allclose(ours, theirs.stats, rtol=0, atol=1e-12)
    for name, k in zip(names, kind):
        precision = theirs.eval["precision"][:, :, k, 0, -1]
        expected = precision[precision > -1].mean() if (precision > -1).any() else -1
        assert metrics["per_class"][name]["box_ap"] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="ids .1234"):
        coco_metrics(dataset, results + [{**results[0], "image_id": 1234}], with_masks=False)

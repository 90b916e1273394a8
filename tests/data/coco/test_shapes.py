import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from awsdet.cli.main import main
from awsdet.data.coco import shapes
from awsdet.runtime.errors import UserError


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes(shapes_set, tmp_path):
    shapes.generate(tmp_path / "again", train_images=41, val_images=13, image_size=96, seed=5)
    assert digests(tmp_path / "again") == digests(shapes_set)
    shapes.generate(tmp_path / "fewer", train_images=3, val_images=2, image_size=96, seed=5)
    whole = digests(shapes_set)
    pictures = {name: d for name, d in digests(tmp_path / "fewer").items() if name.endswith(".jpg")}
    assert len(pictures) == 7 and all(whole[name] == digest for name, digest in pictures.items())
    shapes.generate(tmp_path / "other", train_images=41, val_images=13, image_size=96, seed=6)
    assert not set(digests(tmp_path / "other").values()) & set(whole.values())


def test_no_image_is_in_two_splits(shapes_set):
    found = list(digests(shapes_set / "images").values())
    assert len(found) == len(set(found)) == 67


@pytest.mark.parametrize("test_images", [0, 3])
def test_the_test_split_has_its_own_size_and_changes_no_other(shapes_set, tmp_path, test_images):
    sizes = {"train_images": 2, "val_images": 2, "test_images": test_images}
    shapes.generate(tmp_path, image_size=96, seed=5, **sizes)
    folders = {path.name for path in (tmp_path / "images").iterdir()}
    assert folders == {"train", "val", "test"} - ({"test"} if test_images == 0 else set())
    assert (tmp_path / "annotations" / "instances_test.json").exists() == (test_images > 0)
    whole, images = digests(shapes_set), digests(tmp_path / "images")
    assert len(images) == 4 + test_images
    assert all(whole[f"images/{name}"] == digest for name, digest in images.items())


def test_ids_differ_between_splits(shapes_set):
    contents = [json.loads(file.read_text()) for file in (shapes_set / "annotations").iterdir()]
    assert len(contents) == 3
    for kind, least in (("images", 67), ("annotations", 67)):
        ids = [entry["id"] for content in contents for entry in content[kind]]
        assert len(ids) == len(set(ids)) >= least


@pytest.fixture(scope="module")
def larger_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("larger")
    shapes.generate(folder, train_images=300, val_images=1, image_size=128, seed=1)
    return COCO(str(folder / "annotations" / "instances_train.json")), folder / "images" / "train"


def test_all_that_a_detector_meets_is_there(larger_set):
    api, _ = larger_set
    annotations = list(api.anns.values())
    objects = [a for a in annotations if not a["iscrowd"]]
    polygons = [a for a in objects if isinstance(a["segmentation"], list)]
    assert len(polygons) > len(objects) / 2 > len(objects) - len(polygons) > 50
    assert sum(a["iscrowd"] for a in annotations) >= 10
    assert sum(not api.imgToAnns[i] for i in api.imgs) >= 3
    counts = [sum(a["category_id"] == i for a in objects) for i, _ in shapes.CATEGORIES]
    assert min(counts) > 0.7 * max(counts)
    sizes = {(image["height"], image["width"]) for image in api.imgs.values()}
    assert sizes == {(96, 128), (128, 96)}
    assert np.diff(sorted(api.cats)).max() > 1  # ids have gaps
    assert min(min(a["bbox"][2:]) for a in polygons) >= 13


def test_annotations_agree_with_pycocotools(larger_set):
    api, _ = larger_set
    for annotation in api.anns.values():
        image = api.imgs[annotation["image_id"]]
        mask = api.annToMask(annotation)
        assert mask.shape == (image["height"], image["width"])
        assert abs(mask.sum() - annotation["area"]) <= 0.12 * annotation["area"] + 2
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        x, y, w, h = annotation["bbox"]
        np.testing.assert_allclose([x, y, x + w, y + h], tight, atol=1.6)  # the tips of stars are thinner than a pixel
        assert x >= 0 and y >= 0 and x + w <= image["width"] and y + h <= image["height"]


def test_objects_of_one_image_do_not_share_pixels(larger_set):
    api, _ = larger_set
    for image_id in list(api.imgs)[:60]:
        masks = [api.annToMask(a).astype(bool) for a in api.imgToAnns[image_id]]
        for i, mask in enumerate(masks):
            for other in masks[i + 1 :]:
                assert (mask & other).sum() <= 0.12 * min(mask.sum(), other.sum())  # edges only


def test_an_object_looks_unlike_what_surrounds_it(larger_set):
    api, images = larger_set
    for annotation in list(api.anns.values())[:80]:
        if annotation["iscrowd"]:
            continue
        pixels = np.asarray(Image.open(images / api.imgs[annotation["image_id"]]["file_name"]), float)
        mask = api.annToMask(annotation).astype(bool)
        inside = pixels[mask].mean(axis=0)
        assert pixels[mask].std(axis=0).max() < 60
        assert np.linalg.norm(pixels[~mask] - inside, axis=1).mean() > 40


def test_sizes_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UserError, match="image_size=32: it must be at least 64 px"):
        shapes.generate(tmp_path, image_size=32)
    with pytest.raises(UserError, match="val_images=0"):
        shapes.generate(tmp_path, val_images=0)
    with pytest.raises(UserError, match="test_images=-1: .*test_images is 0 for a set without a test split"):
        shapes.generate(tmp_path, test_images=-1)


def test_the_command_writes_the_set_or_says_what_is_wrong(tmp_path, capsys):
    flags = ["--train_images=2", "--val_images=1", "--image_size=64", "--seed=3"]
    assert main(["shapes", f"--output={tmp_path / 'set'}", *flags]) == 0
    assert "2 images to train on, 1 to evaluate on, 1 to test on" in capsys.readouterr().out
    content = json.loads((tmp_path / "set" / "annotations" / "instances_val.json").read_text())
    assert len(content["images"]) == 1
    assert main(["shapes", f"--output={tmp_path / 'two'}", *flags, "--test-images=0"]) == 0
    assert "1 to evaluate on, 0 to test on" in capsys.readouterr().out
    assert not (tmp_path / "two" / "images" / "test").exists()
    assert main(["shapes", *flags]) == 2
    assert main(["shapes", f"--output={tmp_path / 'x'}", "--image_size=10"]) == 2
    (tmp_path / "file").write_text("")
    assert main(["shapes", f"--output={tmp_path / 'file' / 'set'}", *flags]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 3 and all(line.startswith("awsdet shapes: ") for line in errors)

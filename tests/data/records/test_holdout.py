"""Holding images of an annotation file out: which side each gets, and what is converted."""

import io
import json
import random

import numpy as np
import pytest
from PIL import Image

from awsdet.cli.main import main
from awsdet.data.coco.annotations import read_coco
from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.records.convert import convert
from awsdet.data.records.held_out import convert_held_out
from awsdet.data.records.holdout import FOLDERS, Holdout, divide
from awsdet.data.records.manifest import progress_folder
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError

CLASSES = 6


def coco_of(names, classes_of, folder):
    """A CocoFile of these file names, which exist; classes_of: function of a name that gives its category ids."""
    images = [{"id": n, "file_name": name, "height": 20, "width": 20} for n, name in enumerate(names, 1)]
    annotations = [{"image_id": i["id"], "category_id": c} for i in images for c in classes_of(i["file_name"])]
    for number, annotation in enumerate(annotations, 1):
        annotation.update(id=number, bbox=[1, 1, 9, 9])
    categories = [{"id": c, "name": "abcdef"[c]} for c in range(CLASSES)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)  # bytes of its own
    (folder / "all.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return read_coco(folder / "all.json", Anomalies())


def draws(name):
    """Up to three classes, of which the later ones are rare; they depend on the name alone."""
    rng = random.Random(name)
    return [min(int(rng.expovariate(1.0)), CLASSES - 1) for _ in range(rng.randint(0, 3))]


def numbered(count):
    return [f"IMG {number:04d}.jpg" for number in range(count)]


def names_of(coco):
    return {entry.file_name for entry in coco.images}


def classes_in(coco):
    return {a["category_id"] for annotations in coco.annotations.values() for a in annotations}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


@pytest.mark.parametrize("count, share", [(12, 0.25), (40, 0.1), (40, 0.5), (150, 0.1), (150, 0.8)])
@pytest.mark.parametrize("seed", [1, 2, 77])
def test_parts_are_whole_have_the_share_and_every_class(count, share, seed, folder):
    coco = coco_of(numbered(count), draws, folder)
    training, held_out, copies, patterns, _ = divide(coco, Holdout(share, seed), folder)
    assert names_of(training) | names_of(held_out) == names_of(coco)
    assert len(training.images) + len(held_out.images) == count and (copies, patterns) == (0, ())
    for part in (training, held_out):
        assert part.class_names == coco.class_names and part.category_ids == coco.category_ids
        assert part.images == [e for e in coco.images if e in part.images]  # in the order of the file
        assert part.annotations == {e.id: coco.annotations[e.id] for e in part.images}
    photos = [{a["category_id"] for a in annotations} for annotations in coco.annotations.values()]
    for c in range(CLASSES):
        showing = sum(c in classes for classes in photos)
        assert (c in classes_in(training)) == (showing > 0)
        if showing > 3 and share * count > 3:
            assert c in classes_in(held_out), "a class of several images is on both sides"
    assert 0.74 * share * count <= len(held_out.images) <= 1.26 * share * count + CLASSES


@pytest.mark.parametrize("count, share, test", [(12, 0.25, 0.25), (40, 0.1, 0.2), (150, 0.1, 0.1), (150, 0.1, 0.7)])
@pytest.mark.parametrize("seed", [1, 77])
def test_a_test_part_is_taken_out_of_the_training_part(count, share, test, seed, folder):
    coco = coco_of(numbered(count), draws, folder)
    alone = divide(coco, Holdout(share, seed), folder)
    both = divide(coco, Holdout(share, seed, test=test), folder)
    assert both.held_out == alone.held_out and alone.test is None
    names = [names_of(part) for part in (both.training, both.held_out, both.test)]
    assert set.union(*names) == names_of(coco) and sum(map(len, names)) == count
    assert 0.74 * test * count <= len(both.test.images) <= 1.26 * test * count + CLASSES
    assert both.test.annotations == {e.id: coco.annotations[e.id] for e in both.test.images}
    photos = [{a["category_id"] for a in annotations} for annotations in coco.annotations.values()]
    for c in range(CLASSES):
        showing = sum(c in classes for classes in photos)
        assert (c in classes_in(both.training)) == (showing > 0)
        if showing > 5 and min(share, test) * count > 3:
            assert c in classes_in(both.test), "a class of several images is in all parts"


def test_the_test_part_depends_on_seed_and_name_alone(folder):
    coco = coco_of(numbered(300), draws, folder)
    tested = names_of(divide(coco, Holdout(0.1, test=0.1), folder).test)
    turned = coco_of(numbered(300)[::-1], draws, folder)
    assert names_of(divide(turned, Holdout(0.1, test=0.1), folder).test) == tested
    more = coco_of(numbered(400), draws, folder)
    then = names_of(divide(more, Holdout(0.1, test=0.1), folder).test)
    assert len((then & names_of(coco)) ^ tested) <= 3 and len(then - tested) >= 3
    other = names_of(divide(coco, Holdout(0.1, seed=2, test=0.1), folder).test)
    assert len(other & tested) < len(tested) / 2


def test_a_rare_class_is_trained_on_then_held_out_then_tested(folder):
    for rare in (["IMG 0007.jpg"], ["IMG 0007.jpg", "IMG 0011.jpg"], ["IMG 0007.jpg", "IMG 0011.jpg", "IMG 0019.jpg"]):
        coco = coco_of(numbered(30), lambda name, rare=rare: [5] if name in rare else [0], folder)
        for seed in range(10):
            division = divide(coco, Holdout(0.2, seed, test=0.2), folder)
            parts = (division.training, division.held_out, division.test)
            left = len(set(rare) - names_of(division.held_out))
            assert [5 in classes_in(part) for part in parts] == [True, len(rare) > 1, left > 1]


def test_too_few_photos_for_three_parts(folder):
    coco = coco_of([f"{place}/{n}.jpg" for place in "ab" for n in range(2)], lambda name: [0], folder)
    with pytest.raises(UserError, match="--holdout=0.5 leaves one of 2 photo.s., too few for --split and --test"):
        divide(coco, Holdout(0.5, test=0.25), folder)


def test_a_class_of_one_image_is_trained_on(folder):
    coco = coco_of(numbered(30), lambda name: [5] if name == "IMG 0007.jpg" else [0], folder)
    for seed in range(20):
        training, held_out, *_ = divide(coco, Holdout(0.3, seed), folder)
        assert "IMG 0007.jpg" in names_of(training) and classes_in(held_out) == {0}


def test_the_side_depends_on_seed_and_name_alone(folder):
    coco = coco_of(numbered(300), draws, folder)
    held = names_of(divide(coco, Holdout(0.1), folder).held_out)
    turned = coco_of(numbered(300)[::-1], draws, folder)
    assert names_of(divide(turned, Holdout(0.1), folder).held_out) == held
    more = coco_of(numbered(400), draws, folder)
    then = names_of(divide(more, Holdout(0.1), folder).held_out)
    assert len((then & names_of(coco)) ^ held) <= 3 and len(then - held) >= 3
    other = names_of(divide(coco, Holdout(0.1, seed=2), folder).held_out)
    assert len(other & held) < len(held) / 2


def test_copies_stay_together(folder):
    """By name in other folders and with other suffixes, by Roboflow's names, and by bytes."""
    same = [f"{place}/{number}{suffix}" for number in range(30) for place, suffix in (("a", ".jpg"), ("b/c", ".PNG"))]
    flown = [f"x/{n}_jpg.rf.{m:032x}.jpg" for n in range(40, 50) for m in (3, 10**30)]
    plain = [f"y/{n}.jpg" for n in range(100, 140)]
    coco = coco_of([*same, *flown, *plain], lambda name: [0], folder)
    for n in range(100, 120):  # the bytes of another
        (folder / f"y/{n + 20}.jpg").write_bytes((folder / f"y/{n}.jpg").read_bytes())
    division = divide(coco, Holdout(0.4, test=0.2), folder)
    held, tested = names_of(division.held_out), names_of(division.test)
    assert division.copies == 30 + 10 + 20
    for first, second in [*zip(same[::2], same[1::2]), *zip(flown[::2], flown[1::2])]:
        assert (first in tested) == (second in tested)
    for first, second in [*zip(same[::2], same[1::2]), *zip(flown[::2], flown[1::2])]:
        assert (first in held) == (second in held)
    for n in range(100, 120):
        assert (f"y/{n}.jpg" in held) == (f"y/{n + 20}.jpg" in held)
    assert 0.3 * len(coco.images) <= len(held) <= 0.5 * len(coco.images)


def test_files_of_equal_size_are_compared_to_their_end(folder):
    coco = coco_of(["a.jpg", "b.jpg", "c.jpg"], lambda name: [0], folder)
    for name, end in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (folder / f"{name}.jpg").write_bytes(bytes(20000) + end)
    division = divide(coco, Holdout(0.4), folder)
    assert division.copies == 1
    assert names_of(division.held_out) in ({"b.jpg"}, {"a.jpg", "c.jpg"})


def test_a_name_in_many_folders_is_no_photo(folder):
    coco = coco_of([f"{n:03d}/rgb.png" for n in range(FOLDERS + 1)], lambda name: [0], folder)
    division = divide(coco, Holdout(0.3), folder)
    assert division.patterns == ("rgb",) and division.copies == 0 and 4 <= len(division.held_out.images) <= 8
    fewer = coco._replace(images=coco.images[:FOLDERS])
    with pytest.raises(UserError, match="all 20 images show the same photo"):
        divide(fewer, Holdout(0.3), folder)


def test_missing_files_and_crowds_show_no_class(folder):
    coco = coco_of(numbered(20), lambda name: [1], folder)
    for entry in coco.images[2:]:
        (folder / entry.file_name).unlink()
    for seed in range(10):
        division = divide(coco, Holdout(0.2, seed), folder)
        there = {entry.file_name for entry in coco.images[:2]}
        assert len(there & names_of(division.held_out)) == 1
    crowds = coco_of(numbered(20), lambda name: [], folder)
    for number, annotations in crowds.annotations.items():
        annotations.append({"id": number, "category_id": 2, "iscrowd": int(number > 2)})
    for seed in range(10):
        division = divide(crowds, Holdout(0.2, seed), folder)
        assert len({"IMG 0000.jpg", "IMG 0001.jpg"} & names_of(division.held_out)) == 1


# --------------------------------------------------------------------------------------------------------- conversion


def photo(seed, size=(24, 20)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def own_set(tmp_path):
    """(annotation file, image folder) of 24 photos of a cat or a dog, the last two of an owl too."""
    (tmp_path / "my photos").mkdir()
    images, annotations = [], []
    for n in range(24):
        (tmp_path / "my photos" / f"{n}.jpg").write_bytes(photo(n))
        images.append({"id": n, "file_name": f"{n}.jpg", "height": 20, "width": 24})
        for category in [3 + n % 2, *([9] if n >= 22 else [])]:
            box = {"bbox": [2, 2, 10, 10], "area": 100, "iscrowd": 0, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}
            annotations.append({"id": len(annotations) + 1, "image_id": n, "category_id": category, **box})
    categories = [{"id": i, "name": name} for i, name in ((3, "cat"), (4, "dog"), (9, "owl"), (12, "yak"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    return tmp_path / "mine.json", tmp_path / "my photos"


def held_ids(records, split="val"):
    return set(read_manifest(records, split).image_id.tolist())


def test_two_splits_of_one_file(own_set, tmp_path, capsys):
    records = tmp_path / "records"
    command = ["convert", f"--annotations={own_set[0]}", f"--images={own_set[1]}", f"--output={records}"]
    command += ["--split=train", "--holdout=0.25", "--workers=1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    manifests = [read_manifest(records, split) for split in ("train", "val")]
    train, val = manifests
    assert train.class_names == val.class_names == ("cat", "dog", "owl", "yak")
    assert held_ids(records, "train") | held_ids(records) == set(range(24)) and train.num_images + val.num_images == 24
    assert len(held_ids(records) & {22, 23}) == 1, "the owl is on both sides"
    for manifest in manifests:
        truth = read_ground_truth(manifest)
        assert {entry["id"] for entry in truth["images"]} == set(manifest.image_id.tolist())
        assert f"{manifest.split}: {manifest.num_images} images, " in said
    assert f"held out: {val.num_images} of 24 images ({100 * val.num_images / 24:.1f} %), by name, seed 1" in said
    assert "has no object of" not in said  # there is no yak at all
    # The same command again changes nothing; another seed holds others out.
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in records.iterdir()} == before
    first = held_ids(records)
    assert main([*command, "--seed=8"]) == 0 and held_ids(records) != first
    assert not held_ids(records) & held_ids(records, "train")


def test_three_splits_of_one_file(own_set, tmp_path, capsys):
    records = tmp_path / "records"
    command = ["convert", f"--annotations={own_set[0]}", f"--images={own_set[1]}", f"--output={records}"]
    command += ["--split=train", "--holdout=0.25", "--workers=1"]
    assert main([*command, "--test=0.2"]) == 0
    said = capsys.readouterr().out
    parts = [held_ids(records, split) for split in ("train", "val", "test")]
    assert set.union(*parts) == set(range(24)) and sum(map(len, parts)) == 24
    for split, part in zip(("val", "test"), parts[1:]):
        assert f"held out: {len(part)} of 24 images ({100 * len(part) / 24:.1f} %) as {split}, by name" in said
    assert "test: " in said and "test has no object of owl: too few images show them\n" in said  # two photos show it
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    assert main([*command, "--test=0.2"]) == 0
    assert {path.name: path.read_bytes() for path in records.iterdir()} == before
    capsys.readouterr()
    # Without --test, its images would be in train again, beside the test split that is there.
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "holds test, which was held out of train by --holdout=0.25 --test=0.2 --seed=1; without these flags" in said
    assert {path.name: path.read_bytes() for path in records.iterdir()} == before
    # In another folder, val is the same without --test.
    assert main([*command[:3], f"--output={tmp_path / 'two'}", *command[4:]]) == 0
    assert held_ids(tmp_path / "two") == parts[1]


def test_a_class_that_only_one_split_has_is_said(own_set, tmp_path, capsys):
    content = json.loads(own_set[0].read_text())
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 9 or a["image_id"] == 22]
    own_set[0].write_text(json.dumps(content))
    command = ["convert", f"--annotations={own_set[0]}", f"--images={own_set[1]}", f"--output={tmp_path / 'records'}"]
    assert main([*command, "--split=mine", "--holdout=0.2", "--holdout-split=held", "--workers=1"]) == 0
    assert "held has no object of owl: too few images show them\n" in capsys.readouterr().out
    assert 22 in held_ids(tmp_path / "records", "mine")


def test_a_class_whose_held_out_photo_is_broken_is_told_from_a_rare_one(own_set, tmp_path, capsys):
    """Files are opened only after they were divided, so a side may lose its only owl."""
    command = ["convert", f"--annotations={own_set[0]}", f"--images={own_set[1]}", "--split=train", "--holdout=0.25"]
    command.append("--workers=1")
    assert main([*command, f"--output={tmp_path / 'whole'}"]) == 0
    (owl,) = held_ids(tmp_path / "whole") & {22, 23}
    path = own_set[1] / f"{owl}.jpg"
    path.write_bytes(path.read_bytes()[:200])
    capsys.readouterr()
    assert main([*command, f"--output={tmp_path / 'records'}"]) == 0
    said = capsys.readouterr().out
    assert "val has no object of owl: too few images show them, or what was left out above did\n" in said


def test_an_interrupted_conversion_leaves_no_overlapping_splits(own_set, tmp_path, monkeypatch):
    """With another seed the old held-out split must be gone before the new training split is there."""
    records = tmp_path / "records"
    convert_held_out(*own_set, records, "train", Holdout(0.25, 1), workers=1)
    from awsdet.data.records import convert as conversion

    def interrupted(tasks, *rest):
        assert [path.name for path in records.glob("*.manifest.json")] == ["train.manifest.json"][: len(done)]
        done.append(len(tasks))
        if len(done) == 2:
            raise KeyboardInterrupt
        return write_shards(tasks, *rest)

    done, write_shards = [], conversion._write_shards
    monkeypatch.setattr(conversion, "_write_shards", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_held_out(*own_set, records, "train", Holdout(0.25, 8), workers=1)
    monkeypatch.undo()
    assert [path.name for path in records.glob("*.manifest.json")] == ["train.manifest.json"]
    again = convert_held_out(*own_set, records, "train", Holdout(0.25, 8), workers=1)
    assert not held_ids(records) & held_ids(records, "train")
    assert again.training.num_images + again.held_out.num_images == 24 and not progress_folder(records, "val").exists()


def test_splits_that_would_share_images_are_refused(own_set, tmp_path):
    records = tmp_path / "records"
    convert_held_out(*own_set, records, "train", Holdout(0.25), workers=1)
    with pytest.raises(
        UserError, match="val, which was held out of train by --holdout=0.25 --seed=1; the whole of train"
    ):
        convert(*own_set, records, "train", workers=1)
    assert read_manifest(records, "train").num_images < 24
    with pytest.raises(
        UserError, match="--holdout=0.25 --seed=1 held val; the whole file as val would have the images"
    ):
        convert(*own_set, records, "val", workers=1)
    assert not held_ids(records) & held_ids(records, "train")
    convert(*own_set, records, "other", workers=1)  # not of the same name
    with pytest.raises(UserError, match="holds a split other already, which was not held out"):
        convert_held_out(*own_set, records, "train", Holdout(0.25, split="other"), workers=1)


def test_another_file_may_replace_the_held_out_split(own_set, tmp_path):
    records, other = tmp_path / "records", tmp_path / "other.json"
    convert_held_out(*own_set, records, "train", Holdout(0.25), workers=1)
    other.write_text(own_set[0].read_text() + " ")
    assert convert(other, own_set[1], records, "val", workers=1).num_images == 24


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--holdout=0"], "--holdout=0: it must lie between 0 and 1; 0.1 holds a tenth"),
        (["--holdout=1"], "--holdout=1: it must lie between 0 and 1"),
        (["--holdout=-0.1"], "--holdout=-0.1: it must lie"),
        (["--holdout=10"], "--holdout=10: it must lie"),
        (["--holdout=nan"], "--holdout=nan: it must lie"),
        (["--holdout=10%"], "holdout"),
        (["--holdout=0.02"], "--holdout=0.02 of 24 image(s) leaves one of the two splits without an image"),
        (["--holdout=0.99"], "--holdout=0.99 of 24 image(s) leaves one"),
        (["--holdout=0.1", "--holdout-split=train"], "are both called train; change --holdout-split"),
        (["--holdout=0.1", "--holdout-split=a/b"], "split 'a/b': letters, digits"),
        (["--holdout=0.1", "--test=0"], "--test=0: it must lie between 0 and 1; leave it out for no test split"),
        (["--holdout=0.1", "--test=1"], "--test=1: it must lie between 0 and 1"),
        (["--holdout=0.1", "--test=-0.1"], "--test=-0.1: it must lie"),
        (["--holdout=0.1", "--test=nan"], "--test=nan: it must lie"),
        (["--holdout=0.5", "--test=0.5"], "--holdout=0.5 and --test=0.5 leave nothing to train on"),
        (["--holdout=0.1", "--test=0.02"], "--test=0.02 of 24 image(s) leaves one of the two splits without an image"),
        (["--holdout=0.1", "--test=0.1", "--holdout-split=test"], "--holdout-split=test: --test makes a split of this"),
        (["--holdout=0.1", "--test=0.1", "--split=test"], "--split=test: --test makes a split of this name"),
        (["--test=0.1"], "--test has no meaning without --holdout"),
        (["--seed=3"], "--seed has no meaning without --holdout"),
        (["--holdout-split=val"], "--holdout-split has no meaning without --holdout"),
    ],
)
def test_values_that_cannot_be(flags, words, own_set, tmp_path, capsys):
    command = ["convert", f"--annotations={own_set[0]}", f"--images={own_set[1]}", f"--output={tmp_path / 'records'}"]
    assert main([*command, "--split=train", "--workers=1", *flags]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "records").exists()

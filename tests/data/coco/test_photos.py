"""The built-in set that resembles somebody's own photos."""

import collections
import hashlib
import json

import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from awsdet.cli.main import main
from awsdet.data.coco import photos
from awsdet.data.coco.images import load_image
from awsdet.data.records.convert import convert
from awsdet.runtime.errors import UserError


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def photo_set(tmp_path_factory):
    """(folder, COCO) of 150 photos without oddities."""
    folder = tmp_path_factory.mktemp("photos")
    return folder, COCO(str(photos.generate(folder, images=150, image_size=160)))


def test_the_same_seed_gives_the_same_bytes(photo_set, tmp_path):
    whole = digests(photo_set[0] / "photos")
    photos.generate(tmp_path / "fewer", images=12, image_size=160)
    fewer = digests(tmp_path / "fewer" / "photos")
    assert len(fewer) == 12 and fewer.items() <= whole.items()
    photos.generate(tmp_path / "other", images=12, image_size=160, seed=2)
    assert not set(digests(tmp_path / "other" / "photos").values()) & set(whole.values())


def test_photos_are_as_varied_as_real_ones(photo_set):
    folder, api = photo_set
    kinds, modes, turned, shapes = collections.Counter(), collections.Counter(), 0, set()
    for entry in api.imgs.values():
        image = Image.open(folder / "photos" / entry["file_name"])
        kinds[image.format] += 1
        modes[image.mode] += 1
        turned += photos.ORIENTATION in image.getexif()
        shapes.add((entry["height"], entry["width"]))
        assert ImageOps.exif_transpose(image).size == (entry["width"], entry["height"])
        assert " " in entry["file_name"] and "/" in entry["file_name"]
    assert kinds["JPEG"] > 100 and kinds["PNG"] > 5 and modes["L"] > 3 and turned > 5 and len(shapes) > 50
    assert len({entry["file_name"].partition("/")[0] for entry in api.imgs.values()}) == 2
    counts = collections.Counter(a["category_id"] for a in api.anns.values())
    assert set(counts) == set(api.cats) and counts[23] < counts[1] / 3
    assert np.diff(sorted(api.cats)).max() > 1  # ids have gaps
    assert sum(a["iscrowd"] for a in api.anns.values()) >= 2
    assert sum(not api.imgToAnns[i] for i in api.imgs) >= 3
    sizes = [a["bbox"][2] * a["bbox"][3] for a in api.anns.values() if not a["iscrowd"]]
    assert np.percentile(sizes, 95) > 8 * np.percentile(sizes, 5)


def test_annotations_lie_on_their_objects(photo_set):
    folder, api = photo_set
    for entry in list(api.imgs.values())[:40]:
        seen = [api.annToMask(a).astype(bool) for a in api.imgToAnns[entry["id"]]]
        for annotation, mask in zip(api.imgToAnns[entry["id"]], seen):
            assert mask.shape == (entry["height"], entry["width"])
            assert abs(mask.sum() - annotation["area"]) <= 0.15 * annotation["area"] + 3
            x, y, w, h = annotation["bbox"]
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose([x, y, x + w, y + h], tight, atol=2.1)
        for i, mask in enumerate(seen):
            assert all((mask & other).sum() <= 0.15 * min(mask.sum(), other.sum()) for other in seen[i + 1 :])
        pixels = load_image(folder / "photos" / entry["file_name"]).astype(float)
        if seen and np.ptp(pixels.mean(axis=(0, 1))) > 3:  # what lies on the ground looks unlike it, in colour photos
            inside = np.any(seen, axis=0)
            assert abs(pixels[inside].mean(axis=0) - pixels[~inside].mean(axis=0)).max() > 2


def test_oddities_are_counted_by_the_conversion(tmp_path):
    manifests = []
    for oddities in (False, True):
        file = photos.generate(tmp_path / "set", images=20, image_size=96, oddities=oddities)
        manifests.append(convert(file, tmp_path / "set" / "photos", tmp_path / "records", "all", workers=1))
    (plain, manifest), found = manifests, manifests[1].anomalies.counts
    for kind in ("image_missing", "image_unreadable", "annotation_of_unknown_category", "annotation_id"):
        assert found[kind] == 1 and kind not in plain.anomalies.counts, kind
    of_box_and_polygon = {kind for kind in found if kind.startswith(("box", "polygon", "mask"))}
    assert len(of_box_and_polygon - set(plain.anomalies.counts)) >= 2
    assert plain.num_images == 20
    assert manifest.num_images == 19  # 20, one of them twice, without two
    content = json.loads(file.read_text())
    twin = next(entry for entry in content["images"] if "Copy" in entry["file_name"])["file_name"]
    copied = (tmp_path / "set" / "photos" / twin).read_bytes()
    assert copied == (tmp_path / "set" / "photos" / twin.replace("Copy of ", "")).read_bytes()


def test_numbers_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UserError, match="images=3, image_size=256: it takes 8 photos"):
        photos.generate(tmp_path, images=3)
    with pytest.raises(UserError, match="of 96 px or more"):
        photos.generate(tmp_path, image_size=64)


def test_the_command_refuses_flags_of_the_other_style(tmp_path, capsys):
    command = ["shapes", f"--output={tmp_path / 'set'}"]
    assert main([*command, "--style=photos", "--images=8", "--image-size=96"]) == 0
    assert f"8 photos -> {tmp_path / 'set' / 'photos'}" in capsys.readouterr().out
    wrong = {
        "--images=9": [],
        "--oddities": [],
        "--val-images=3": ["--style=photos"],
        "--test-images=3": ["--style=photos"],
        "--style=paintings": [],
    }
    for flag, others in wrong.items():
        assert main([*command, flag, *others]) == 2
        said = capsys.readouterr().err.strip()
        assert "\n" not in said and flag.partition("=")[0] in said.replace("flag --style", "--style"), said
    (tmp_path / "file").write_text("")
    assert main(["shapes", "--style=photos", f"--output={tmp_path / 'file'}", "--images=8"]) == 2

"""The list of images: ids, names and sizes."""

import pytest

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.image_entries import ImageEntry, read_images
from awsdet.runtime.errors import UserError


def read(*entries, folder=None):
    found = Anomalies()
    return read_images("a.json", list(entries), folder, found), found


def entry(one, name="a.jpg", **more):
    return {"id": one, "file_name": name, "height": 40, "width": 60, **more}


def test_every_id_gets_a_number_of_its_own():
    images, found = read(entry("1_25"), entry("12_5", "b.jpg"), entry(7, "c.jpg"), entry(2**70, "d.jpg"))
    assert [i.source_id for i in images] == ["1_25", "12_5", 7, 2**70]
    assert [i.id for i in images] == [8, 9, 7, 10] and not found.counts
    assert images[0] == ImageEntry(8, "a.jpg", 40, 60, "1_25")


@pytest.mark.parametrize("first, second", [(1, 1), (1, 1.0), ("x", "x"), (2**64, 2**64)])
def test_an_id_of_two_files_is_ambiguous(first, second):
    with pytest.raises(UserError, match=r"image id .* is given to two files, a/1\.png and b/1\.png; give each image"):
        read(entry(first, "a/1.png"), entry(second, "b/1.png"))


@pytest.mark.parametrize("first, second", [(1, "1"), ("7", "007"), (2**53, 2**53 + 1), ("a", "A")])
def test_ids_that_only_look_alike_are_two_images(first, second):
    images, found = read(entry(first, "a.png"), entry(second, "b.png"))
    assert len({image.id for image in images}) == 2 and not found.counts


def test_an_image_listed_twice_is_kept_once():
    images, found = read(entry(1, "x/a.jpg"), entry(1, "./x/a.jpg"), entry(1.0, "x/a.jpg", height=3))
    assert images == [ImageEntry(1, "x/a.jpg", 40, 60, 1)] and found.counts == {"image_duplicate": 2}


def test_a_file_of_several_ids_is_told():
    images, found = read(entry(1), entry(2), entry("2"))
    assert len(images) == 3 and found.examples == {"image_file_shared": ["a.jpg (ids 1, 2)", "a.jpg (ids 1, 2)"]}


@pytest.mark.parametrize(
    "one, name",
    [(None, "a"), (True, "a"), (2.5, "a"), ("", "a"), (1, None), (1, ""), (1, 5), (1, "a\0b"), (1, "\ud800")],
)
def test_entries_without_an_id_or_a_name_are_counted(one, name):
    images, found = read(entry(one, name), "no entry")
    assert images == [] and found.counts == {"image_malformed": 2}
    found.table().encode()


def test_a_name_that_is_no_utf8_is_a_name():
    assert read(entry(1, "caf\udce9.jpg"))[0][0].file_name == "caf\udce9.jpg"  # as Python lists such files


@pytest.mark.parametrize(
    "side, wanted",
    [(48, 48), (48.0, 48), ("48", 48), (0, 0), (-48, 0), (48.5, 0), (None, 0), (True, 0), ("x", 0), (2**31, 0)]
    + [(float("inf"), 0), (float("nan"), 0), ([48], 0), ("4_8", 0), ("9" * 5000, 0)],
)
def test_sides_are_whole_positive_numbers_or_unknown(side, wanted):
    assert read(entry(1, height=side))[0][0].height == wanted


URL = "http://images.example.org/train2017/000%20009.jpg?x=1"


def test_lvis_names_images_by_url(tmp_path):
    """Its images lie in one folder or in two, so what is there decides."""
    lvis = {
        "id": 9,
        "coco_url": URL,
        "neg_category_ids": [3],
        "not_exhaustive_category_ids": [],
        "height": 4,
        "width": 6,
    }
    images, found = read(lvis, folder=tmp_path)
    assert images[0].file_name == "000 009.jpg"
    assert found.counts == {"image_name_from_url": 1, "image_federated": 1}
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017" / "000 009.jpg").touch()
    assert read(lvis, folder=tmp_path)[0][0].file_name == "train2017/000 009.jpg"
    assert read({**lvis, "file_name": "own.jpg"}, folder=tmp_path)[0][0].file_name == "own.jpg"


@pytest.mark.parametrize("url", ["", "http://x", "http://x/", "http://[x/a.jpg", 5, None])
def test_urls_without_a_file_name_are_no_names(url):
    assert read({"id": 1, "coco_url": url})[1].counts == {"image_malformed": 1}

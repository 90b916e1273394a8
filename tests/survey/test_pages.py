"""The pages as a whole: complete, safe with any name, and showing what is wrong."""

import json
import re
import shutil
from urllib.parse import unquote

import pytest
from PIL import Image

from awsdet import config as config_lib
from awsdet.cli.main import main
from awsdet.data.records.convert import convert
from awsdet.data.records.inspection import inspect
from awsdet.survey import builder, choice, pages, pictures
from tests.survey.html_reader import Page
from tests.survey.odd_set import INJECTED, ODD_FILE

ALLOWED = set(
    "html head meta title style body nav a h1 h2 h3 p div span b i br bdi table thead tbody tr th td figure figcaption "
    "img ul li svg rect line circle text".split()
)


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def all_pages(folder):
    return sorted(folder.rglob("*.html"))


def test_a_front_page_and_one_per_split(odd_pages):
    folder, printed = odd_pages
    assert [path.relative_to(folder).as_posix() for path in all_pages(folder)] == [
        "index.html",
        "train/index.html",
        "val/index.html",
    ]
    assert f"Open {folder / 'index.html'} in a browser." in printed
    assert not list(folder.rglob(".*"))


def test_nothing_comes_from_elsewhere_and_every_link_leads_somewhere(odd_pages):
    for path in all_pages(odd_pages[0]):
        page = read(path)
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        addresses = [a[key] for _, a in page.elements for key in ("href", "src") if key in a]
        assert addresses
        for address in addresses:
            if address.startswith("#"):
                assert address[1:] in ids
            elif not address.startswith("data:image/jpeg;base64,"):
                assert (path.parent / unquote(address)).is_file(), address
        assert not re.search(
            r"https?:|//[a-z]|url\(|@import", path.read_text().replace("data:image/jpeg;base64,//", "")
        )


def test_every_picture_is_shown_and_can_be_read(odd_pages):
    for folder in ("train", "val"):
        shown = {a["src"] for tag, a in read(odd_pages[0] / folder / "index.html").elements if tag == "img"}
        files = {path.name for path in (odd_pages[0] / folder).glob("*.jpg")}
        assert files == shown
        for name in files:
            Image.open(odd_pages[0] / folder / name).load()


def test_names_of_the_user_never_become_html(odd_pages):
    seen = ""
    for path in all_pages(odd_pages[0]):
        page = read(path)
        assert not page.unclosed
        seen += "\n".join(page.texts)
        for tag, attributes in page.elements:
            assert tag in ALLOWED, tag
            assert not any(name.startswith("on") for name in attributes), attributes
            assert tag != "img" or attributes["src"] != "x"
    assert INJECTED in seen and ODD_FILE in seen and "猫" in seen


def sections(page_path):
    """Title of each section of pictures -> its file names and its text."""
    found = {}
    for part in re.split("(?=<h[23])", page_path.read_text(encoding="utf-8"))[1:]:
        page = Page(part.partition("</body>")[0])
        names = [a["src"] for tag, a in page.elements if tag == "img"]
        found[page.texts[0]] = names, " ".join(page.texts[1:])
    return found


@pytest.fixture(scope="module")
def train_sections(odd_pages):
    return sections(odd_pages[0] / "train" / "index.html")


@pytest.mark.parametrize(
    "title, annotation, words",
    [
        ("Boxes that look like x1, y1, x2, y2", 313, "bbox 50, 40, 140, 100 reaches 30 px out of the image"),
        ("Boxes that contradict their mask", 414, "box and mask do not touch"),
        ("Boxes that reach out of their image", 616, "reaches 30 px out of the image"),
        ("Areas that contradict their mask", 822, "area 40, but the mask has 2500 px"),
        ("Boxes that are not trained on", 821, "box 0.4 x 20 px"),
        ("Very long boxes", 720, "one side is 30 times as long as the other"),
        ("Objects without a mask", 1023, "no mask"),
        ("Objects annotated twice", 718, "two annotations of one class in one place"),
    ],
)
def test_each_kind_of_oddity_is_shown(train_sections, title, annotation, words):
    names, text = train_sections[title]
    assert f"annotation {annotation}" in text and words in text
    assert 1 <= len(names) <= 2


def test_what_is_right_is_not_called_odd(odd_pages):
    odd = re.search(
        '<h2 id="odd">(.*?)<h2', (odd_pages[0] / "val" / "index.html").read_text(encoding="utf-8"), re.DOTALL
    )
    assert "Nothing was found." in odd[1] and "<img" not in odd[1]


def test_sections_any_data_set_has(train_sections):
    for title, most in (("Random images", 12), ("Most crowded images", 6), ("Smallest objects", 12)):
        assert 5 < len(train_sections[title][0]) <= most
    assert "9.jpg" in train_sections["Images without annotations"][1]
    crowded = train_sections["Most crowded images"][1]
    assert crowded.index("image 2 ") < crowded.index("image 1 ") and "10 annotations" in crowded
    assert "one object covers 100 % of the image" in train_sections["Largest objects"][1]
    assert "annotation 1024" in train_sections["Smallest objects"][1].split("px at training size")[0]


def test_duplicates_within_and_between_splits(odd_pages, train_sections):
    names, text = train_sections["Suspected duplicates"]
    assert len(names) == 4 and "2 groups of images" in text
    for file_name in ("1.jpg", "11.jpg", "12.jpg", ODD_FILE):
        assert file_name in text
    assert text.count("equal bytes") == 1 and text.count("alike") == 2
    front = sections(odd_pages[0] / "index.html")["Images in two splits"]
    assert "4.jpg" in front[1] and "21.jpg" in front[1] and len(front[0]) == 2 and "equal bytes" in front[1]


def test_the_front_page_compares_classes_and_names(odd_pages):
    found = sections(odd_pages[0] / "index.html")
    assert "Classes with annotations in some of the splits only: 8 of 10." in found["Classes"][1]
    names = found["Class names to look at"][1]
    assert re.search(r"person +\(15 \+ 0\) and +persn +\(2 \+ 0\) differ in one letter", names)
    assert re.search(r"never seen +\(0 \+ 0\) has no annotations at all", names)
    assert re.search(r"7 +\(1 \+ 0\) is only a number", names)


def test_classes_of_one_name_are_told_apart_and_named(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (160, 120)).save(tmp_path / "images" / "1.png")
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 160, "height": 120}],
        "categories": [{"id": "a", "name": "thing"}, {"id": "b", "name": "thing"}, {"id": "c", "name": "other"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": c, "bbox": [9 * n, 9, 30, 30], "area": 900, "iscrowd": 0}
            for n, c in enumerate("abc", 1)
        ],
    }
    (tmp_path / "all.json").write_text(json.dumps(content))
    convert(tmp_path / "all.json", tmp_path / "images", tmp_path / "records", "train", workers=1)
    assert main(["inspect", f"--records={tmp_path / 'records'}", f"--draw={tmp_path / 'pages'}"]) == 0
    front = sections(tmp_path / "pages" / "index.html")
    assert "thing (id a)" in front["Classes"][1] and "thing (id b)" in front["Classes"][1]
    names = front["Class names to look at"][1]
    assert re.search(r"thing \(id a\) +\(1\) and +thing \(id b\) +\(1\) are equal", names)
    split = sections(tmp_path / "pages" / "train" / "index.html")
    for heading in ("Random images", "By class, the worst first"):
        assert "thing (id a)" in split[heading][1] and "thing (id b)" in split[heading][1]


def test_histograms_have_a_bar_for_each_value(odd_pages):
    page = read(odd_pages[0] / "train" / "index.html")
    text = "\n".join(page.texts)
    assert "10-14: 1 images" in text and "0: 1 images" in text and "1: 5 images" in text  # annotations per image
    assert "160 x 120: 12 images" in text
    assert sum(int(n) for n in re.findall(r"IoU [\d.]+ to [\d.]+: (\d+) objects", text)) == 25
    assert sum(int(n) for n in re.findall(r"width / height [\d.]+ to [\d.]+: (\d+) objects", text)) == 25
    assert sum(int(n) for n in re.findall(r"\d to \d+(?:\.\d+)? px: (\d+) objects", text)) == 25


def test_the_text_report_names_what_to_look_at(odd_pages):
    printed = odd_pages[1]
    for line in (
        "duplicates   1 images repeat the bytes of another; 1 objects repeat another",
        "'person' (15) and 'persn' (2) differ in one letter",
        "only a number: '7'",
        "without annotations: 'never seen', 'only in val'",
        "are smaller than 16 x 16 px",
    ):
        assert line in printed
    assert "Best anchor" not in printed  # only with a config


def test_a_second_call_replaces_the_pages_and_keeps_none_of_the_first(odd_records, odd_pages, tmp_path, capsys):
    folder = shutil.copytree(odd_pages[0], tmp_path / "pages")
    before = (folder / "train" / "index.html").read_text(encoding="utf-8")
    assert main(["inspect", f"--records={odd_records}", f"--draw={folder}", "--split=val", "--seed=2"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "val"]
    assert "Images in two splits" not in (folder / "index.html").read_text(encoding="utf-8")
    (found,) = inspect(odd_records, "train", look=True)
    pages.write_pages([found], folder, builder.anchor_rules(config_lib.mask_rcnn()), seed=1)
    assert (folder / "train" / "index.html").read_text(encoding="utf-8") == before
    capsys.readouterr()


def test_broken_shards_are_named_on_the_page_and_end_with_code_2(odd_records, tmp_path, capsys):
    records = shutil.copytree(odd_records, tmp_path / "records")
    for number in range(2):
        path = records / f"val-0000{number}-of-00002.tfrecord"
        path.write_bytes(path.read_bytes()[:-5])
    assert main(["inspect", f"--records={records}", f"--draw={tmp_path / 'pages'}"]) == 2
    assert "val-00000-of-00002.tfrecord is broken" in capsys.readouterr().err.strip().splitlines()[-1]
    text = "".join(read(tmp_path / "pages" / "val" / "index.html").texts)
    assert "val-00000-of-00002.tfrecord is broken" in text and "There are no objects to train on." in text


def test_a_config_that_is_given_is_compared_in_the_text(odd_records, capsys):
    assert main(["inspect", f"--records={odd_records}", "--split=train", "--config.data.short_sides=100"]) == 0
    printed = capsys.readouterr().out
    assert (
        "At 100/1333 px (data.short_sides, data.max_long_side), 48 % of the objects are smaller than 16 px" in printed
    )
    assert re.search(r"--config\.model\.anchors\.scales=2,4,8 would give \d+ % of the objects", printed)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--config=nowhere.py"], "config file nowhere.py does not exist"),
        (["--config.data.short_side=3"], "unknown config key data.short_side"),
        (
            ["--config.model.anchors.scales=0"],
            "model.anchors.scales is (0.0,); it must be a tuple of 1 or more values, each a finite number, above 0",
        ),
        (["--config.model.anchors.ratios=nan"], "expected a tuple"),
        (["--seed=-1"], "seed"),
    ],
)
def test_mistakes_are_named_before_anything_is_read(odd_records, tmp_path, capsys, flags, words):
    folder = tmp_path / "pages"
    assert main(["inspect", f"--records={odd_records}", f"--draw={folder}", *flags]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and len(captured.err.strip().splitlines()) == 1
    assert captured.out == "" and not folder.exists()


def test_a_seed_without_pages_is_not_dropped_in_silence(odd_records, capsys):
    assert main(["inspect", f"--records={odd_records}", "--seed=3"]) == 2
    assert "give --draw=FOLDER" in capsys.readouterr().err


def test_folders_of_splits_have_safe_names_of_their_own():
    names = pages._folder_names(["train", "../up", "a b", "a/b", "猫", "犬", "Train", ".", ""])
    assert len({name.lower() for name in names}) == len(names)
    assert names[0] == "train" and all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)


def test_an_image_that_the_reader_cannot_decode_is_shown_as_such(odd_records, monkeypatch):
    (found,) = inspect(odd_records, "train", look=True)
    example = pictures.read_example(found.manifest, 0)
    example.features.feature["image/encoded"].bytes_list.value[0] = b"no image"
    monkeypatch.setattr(pictures, "read_example", lambda manifest, row: example)
    picture = pictures.draw(found, choice.Shown(0))
    assert "cannot decode" in picture.problem and picture.original == (120, 160)

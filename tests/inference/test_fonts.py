"""Fonts: a label is drawn with letters, or the caller is told that there are none."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import ImageFont

from awsdet.inference import fonts
from awsdet.inference.drawing import DrawnObject, class_color, draw_objects

DEJAVU = pathlib.Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


@pytest.fixture
def only_pillows(monkeypatch):
    """A system without fonts."""
    monkeypatch.setattr(fonts, "system_fonts", tuple)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A folder in which fonts are looked for, and nowhere else."""
    monkeypatch.setattr(fonts, "_FOLDERS", (str(tmp_path), "/nowhere"))
    fonts.system_fonts.cache_clear()
    yield tmp_path
    fonts.system_fonts.cache_clear()


@pytest.mark.parametrize("text", ["person 0.95", "traffic light (crowd)", "", " ", "a\tb\n"])
def test_pillows_own_font_has_plain_letters(only_pillows, text):
    assert fonts.font_for(text, 14) is not None


@pytest.mark.parametrize("text", ["猫", "кошка 0.5", "cat 🐱", "\ud800", "\x00\uffff"])
def test_letters_that_no_font_has(only_pillows, text):
    assert fonts.font_for(text, 14) is None


@pytest.mark.skipif(not DEJAVU.is_file(), reason="needs the font DejaVu Sans")
@pytest.mark.parametrize("text, found", [("кошка", True), ("γάτα", True), ("猫", False), ("кошка 猫", False)])
def test_a_font_of_the_system_has_other_letters(system, text, found):
    (system / "deep" / "er").mkdir(parents=True)
    shutil.copy(DEJAVU, system / "deep" / "er")
    font = fonts.font_for(text, 14)
    assert (font is not None) == found
    if found:
        assert font.path == str(system / "deep" / "er" / DEJAVU.name) and font.size == 14
        assert font.getmask("к").getbbox() is not None


def test_a_file_that_is_no_font_is_passed_over(system):
    (system / "DejaVuSans.ttf").write_bytes(b"no font")
    assert len(fonts.system_fonts()) == 1
    assert fonts.font_for("猫", 14) is None and fonts.font_for("cat", 14) is not None


def test_no_fonts_at_all(system):
    assert fonts.system_fonts() == ()


def picture(item, scale=1.0):
    return np.asarray(draw_objects(np.full((80, 200, 3), 90, np.uint8), [item], scale))


def test_a_name_that_cannot_be_written_becomes_its_number(only_pillows, caplog):
    box = (10, 40, 60, 70)
    number = picture(DrawnObject(box, "class 3", 3))
    np.testing.assert_array_equal(picture(DrawnObject(box, "猫", 3)), number)
    np.testing.assert_array_equal(picture(DrawnObject(box, "猫 0.95", 3, short="class 3")), number)
    assert (picture(DrawnObject(box, "class 4", 3)) != number).any()


def test_an_empty_label_draws_nothing():
    item = DrawnObject((10, 40, 60, 70), "", 3)
    drawn = picture(item)
    assert (drawn[:40] == 90).all() and (drawn[42:68, 12:58] == 90).all()


def test_outlines_of_each_kind():
    """Along the upper edge: solid without gaps, dashes longer than gaps, dots shorter than gaps."""
    shares = {}
    for kind in ("solid", "dashed", "dotted"):
        drawn = picture(DrawnObject((10, 20, 170, 70), "", 3, outline=kind))
        colored = (drawn == class_color(3)).all(-1)
        shares[kind] = colored[20, 10:170].mean()
        assert colored[20, 10] and not colored[:20].any() and not colored[70:].any()
        assert colored[69, 10:170].mean() == shares[kind]
        assert not colored[22:68, 12:168].any()
    assert shares["solid"] == 1
    assert 0.55 < shares["dashed"] < 0.7 and 0.28 < shares["dotted"] < 0.4


@pytest.mark.parametrize("kind", ["dashed", "dotted"])
def test_outlines_of_tiny_boxes_and_at_the_edges(kind):
    for box in ((0, 0, 1, 1), (199, 79, 200, 80), (-50, -50, 500, 500), (30, 30, 30, 30)):
        assert picture(DrawnObject(box, "x", 1, outline=kind)).shape == (80, 200, 3)


def test_the_size_is_that_asked_for(only_pillows):
    assert fonts.font_for("cat", 17.6).size == 18
    assert isinstance(fonts.font_for("cat", 11), ImageFont.FreeTypeFont)

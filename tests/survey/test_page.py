"""HTML of single parts: any text is shown, and none is taken for markup."""

import pytest

from awsdet.survey import page
from tests.survey.html_reader import Page

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "--><b>",
    "&lt;b&gt; &amp;",
    "]]><b>",
    "{{7*7}} ${x} %s",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_stays_text_in_elements_and_in_attributes(hostile):
    for made in (
        page.name(hostile),
        page.cards([(hostile, hostile)]),
        page.table([hostile, "#n"], [[page.name(hostile), "1"]]),
        page.meter(0.5, hostile),
        f'<img alt="{page.text(hostile)}">',
        page.page(hostile, [("#a", page.text(hostile))], page.note(page.text(hostile))),
    ):
        found = Page(made)
        tags = {tag for tag, _ in found.elements}
        assert "script" not in tags and ("b" not in tags or made.startswith('<div class="cards">'))
        assert not [a for _, a in found.elements if any(key.startswith("on") for key in a)]
        alts = [a["alt"] for tag, a in found.elements if tag == "img"]
        assert hostile in found.texts or alts == [hostile]


@pytest.mark.parametrize("unseen", ["\x00", "\x1b[31m", "\ud800", "\u202egnp.exe", "\uffff", "\x85", "\u2066"])
def test_what_cannot_be_seen_is_shown_as_a_sign(unseen):
    shown = page.text(f"a{unseen}b")
    assert "\ufffd" in shown and unseen[0] not in shown
    shown.encode("utf-8")


def test_names_of_other_scripts_stay_as_they_are():
    assert page.text("猫 кошка قطة 🐱 naïve") == "猫 кошка قطة 🐱 naïve"


def test_a_page_forbids_scripts_and_says_what_wrote_it():
    made = page.page("title", [], "<p>body</p>")
    assert "script-src 'none'" in made and page.MARK in made[:2000] and "<nav>" not in made
    assert made.startswith("<!DOCTYPE html>") and '<meta charset="utf-8">' in made
    assert Page(made).unclosed == []


def test_bars_and_numbers():
    assert "width:50.00%" in page.bar(0.5) and "other" in page.bar(0.5, other=True) and "zero" in page.bar(0)
    assert (page.counted(1, "image"), page.counted(2, "image"), page.counted(0, "image")) == (
        "1 image",
        "2 images",
        "0 images",
    )
    assert page.counted(1234567, "object") == "1,234,567 objects"
    assert "#0aff00" in page.swatch((10, 255, 0))

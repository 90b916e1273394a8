"""The reader of the reference's options refuses what it does not know."""

import pytest

from tests.parity.options import Options, alike


def test_unread_options_are_named_wherever_they_stand():
    options = Options({"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4}, {"f": 5, "g": 6}]})
    assert options.get("a") == 1 and options.section("b").get("c") == 2
    assert [entry.get("f") for entry in options.sections("e", 2)] == [4, 5]
    with pytest.raises(ValueError, match=r"model_config.b.d = 3, model_config.e\[1\].g = 6"):
        options.check_all_read()


def test_values_that_we_have_not_are_refused():
    options = Options({"type": "soft_nms"})
    with pytest.raises(ValueError, match="model_config.type is 'soft_nms'; we have 'nms' only"):
        options.one_of("type", "nms")
    assert options.one_of("absent", "the default", "another") == "the default"
    with pytest.raises(ValueError, match="model_config has no iou_threshold"):
        options.get("iou_threshold")


def test_a_section_that_stands_alone_counts_for_every_stage():
    entries = Options({"head": {"width": 3}}).sections("head", 3)
    assert alike([entry.get("width") for entry in entries], "width") == 3
    with pytest.raises(ValueError, match="width differs"):
        alike([3, 4, 3], "width")

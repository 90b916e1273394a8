"""The text of `optimizer.rules`."""

import pytest

from awsdet import config as configuration
from awsdet.config.rules import Rule, parse
from awsdet.runtime.errors import UserError


def test_rules_are_read_in_their_order():
    assert parse(" *.bias  rate=2 decay=0 ,backbone.layer[12].* rate=.1") == (
        Rule("*.bias", 2.0, 0.0),
        Rule("backbone.layer[12].*", 0.1, None),
    )
    assert parse("") == parse("  ") == ()
    assert [str(rule) for rule in parse("a decay=0.50 rate=1e-3")] == ["a rate=0.001 decay=0.5"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("*.bias", "'*.bias' has no factor"),
        ("rate=2", "'rate=2' has no pattern"),
        ("*.bias rate=2,", "'' has no pattern"),
        ("*.bias lr=2", "'lr=2' in '*.bias lr=2' is neither rate=NUMBER nor decay=NUMBER"),
        ("*.bias *.beta decay=0", "'*.beta' in '*.bias *.beta decay=0' is neither"),
        ("*.bias rate=2 rate=3", "has two factors rate"),
        ("*.bias rate=-1", "'-1' in '*.bias rate=-1' is not a finite number, 0 or more"),
        ("*.bias rate=nan", "'nan' in"),
        ("*.bias rate=inf", "'inf' in"),
        ("*.bias rate=two", "'two' in"),
    ],
)
def test_what_is_no_rule_is_named(text, words):
    with pytest.raises(UserError) as error:
        configuration.apply_override(configuration.mask_rcnn(), f"optimizer.rules={text}")
    said = str(error.value)
    assert said.startswith("optimizer.rules is ") and words in said and "as in '*.gamma decay=0, " in said
    assert "\n" not in said

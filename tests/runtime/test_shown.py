import os

import pytest

from awsdet.runtime.shown import shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("größe 山.jpg", "größe 山.jpg"),
        ("a\nb\tc\x1b[31m", "a\\nb\\tc\\x1b[31m"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("half \ud800", "half \\ud800"),
        (7, "7"),
    ],
)
def test_what_cannot_be_printed_is_escaped(name, text):
    assert shown(name) == text
    text.encode()

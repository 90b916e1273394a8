"""Errors of converters in one line."""

import pytest

from awsdet.export.converting import CannotConvert, converting


@pytest.mark.parametrize(
    "said,line",
    [
        ("no such shape\nat …", "no such shape"),
        (
            "error: …\nFlex ops: StringJoin\nDetails:\n\tCustom ops: \nCustom ops: Betainc, Svd\n",
            "StringJoin, Betainc, Svd",
        ),
        ("", "ValueError"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_the_reason_is_in_one_line(said, line):
    with pytest.raises(CannotConvert, match=f"^ONNX cannot convert this detector: (it does not know )?{line}$"):
        with converting("ONNX"):
            raise ValueError(said)


def test_a_full_disk_is_no_fault_of_the_converter():
    with pytest.raises(OSError, match="No space left"), converting("ONNX"):
        raise OSError(28, "No space left on device")

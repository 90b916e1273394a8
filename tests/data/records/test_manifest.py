"""Class lists compared, and manifests that are damaged."""

import os

import pytest

from awsdet.data.records.manifest import class_difference, read_json
from awsdet.runtime.errors import UserError


@pytest.mark.parametrize(
    "ours, theirs, wanted",
    [
        (("cat", "dog"), ["cat", "dog"], None),
        ((), (), None),
        (("cat", "dog"), ("dog", "cat"), "class 0 is 'cat' against 'dog'"),
        (("cat",), ("cat", "dog"), "1 classes against 2"),
    ],
)
def test_class_difference(ours, theirs, wanted):
    assert class_difference(ours, theirs) == wanted


@pytest.mark.parametrize("data", [b"", b"[1]", b'{"a": ', b"\xff\xfe\0", b"[" * 100_000, b'{"a":' * 100_000])
def test_a_damaged_file_is_named(tmp_path, data):
    (tmp_path / "train.manifest.json").write_bytes(data)
    with pytest.raises(UserError, match="cannot read .*train.manifest.json: .*; run awsdet convert again"):
        read_json(tmp_path / "train.manifest.json")


def test_a_manifest_that_may_not_be_read_is_not_called_damaged(tmp_path):
    (tmp_path / "train.manifest.json").touch(0)
    if os.access(tmp_path / "train.manifest.json", os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(PermissionError):
        read_json(tmp_path / "train.manifest.json")

"""Class lists compared."""

import pytest

from awsdet.data.records.manifest import class_difference


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

"""What tells a process that cannot join a run: other settings, records or sources."""

import pathlib
import types

import numpy as np
import pytest

from awsdet import config as config_module
from awsdet.data.records.manifest import COLUMNS, Manifest, Shard
from awsdet.training.fingerprint import difference, fingerprint_of, records_digest, sources_digest


def manifest(**changes):
    """Three records in two shards."""
    columns = {name: np.arange(3, dtype=kind) for name, kind in COLUMNS.items()}
    shards = (Shard("a-0", 100, "12"), Shard("a-1", 50, "34"))
    found = Manifest(
        pathlib.Path("/records"),
        "train",
        "awsdet",
        ("cat",),
        (1,),
        shards,
        {},
        None,
        True,
        np.int32([0, 0, 1]),
        **columns,
    )
    return found._replace(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_id": np.int64([0, 1, 3])},
        {"offset": np.int64([0, 1, 3])},
        {"num_objects": np.int32([0, 1, 3])},
        {"shard": np.int32([0, 1, 1])},
        {"shards": (Shard("a-0", 100, "12"), Shard("a-1", 50, "35"))},
        {"category_ids": (2,)},
    ],
)
def test_other_records_have_another_digest(changes):
    assert records_digest(manifest(**changes)) != records_digest(manifest())


def test_the_same_records_may_lie_elsewhere():
    assert records_digest(manifest(directory=pathlib.Path("/local"))) == records_digest(manifest())


def test_a_change_of_any_source_changes_the_digest(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "b" / "c.py").write_text("two")
    digests = [sources_digest(tmp_path)]
    (tmp_path / "b" / "c.txt").write_text("no source")
    assert sources_digest(tmp_path) == digests[0]
    (tmp_path / "b" / "c.py").write_text("too")
    digests.append(sources_digest(tmp_path))
    (tmp_path / "b" / "c.py").rename(tmp_path / "c.py")
    digests.append(sources_digest(tmp_path))
    (tmp_path / "a.py").unlink()
    digests.append(sources_digest(tmp_path))
    assert len(set(digests)) == 4


def test_the_difference_names_the_parts():
    config = config_module.mask_rcnn()
    detector, records = types.SimpleNamespace(variables=[]), manifest()

    def made(config=config, train=records, evaluation=None, sources="1"):
        inputs = types.SimpleNamespace(train=train, evaluation=evaluation, class_names=("cat",))
        return fingerprint_of(config, inputs, detector, sources)

    assert difference(made(), made()) == ""
    assert difference(made(), made(train=manifest(category_ids=(2,)))) == "records"
    assert difference(made(), made(evaluation=manifest())) == "records"
    assert difference(made(), made(config_module.faster_rcnn(), sources="2")) == "config, version of awsdet"
    assert difference({**made(), "new": "1"}, made()) == "new"  # of a version that compares more

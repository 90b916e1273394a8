"""Names of pretrained weights, and what is a path instead."""

import os
import urllib.parse

import pytest

from awsdet.runtime.errors import UserError
from awsdet.weights import named, presets
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import ENTRIES

PRESETS = {preset.name for preset in vars(presets).values() if isinstance(preset, presets.Preset)}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_entry_is_complete(entry):
    address = urllib.parse.urlsplit(entry.address)
    assert address.scheme == "https" and not address.query and address.path.endswith(f"/{entry.file}")
    assert os.path.splitext(entry.file)[1] in (".pth", ".pkl", ".npz", ".h5") and entry.licence and entry.what
    algorithm, _, digits = entry.checksum.partition(":")
    assert (algorithm, len(digits)) in (("sha256", 8), ("md5", 32), ("", 0))
    assert algorithm != "sha256" or entry.file.endswith(f"-{digits}.pth")
    assert entry.preset in PRESETS
    assert os.sep not in entry.name and "." not in entry.name and named.entry_of(entry.name) is entry


def test_files_do_not_overwrite_each_other():
    assert len({entry.file.casefold() for entry in ENTRIES.values()}) == len(ENTRIES)


def test_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for path in ("", "mine", "./imagenet-r50", "/none/imagenet-r50", "weights.npz", "none/here"):
        assert named.entry_of(path) is None and named.to_fetch(path) is None
    assert named.entry_of("imagenet-r50") is ENTRIES["imagenet-r50"]


def test_name_that_is_a_path_too_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet-r50").mkdir()
    with pytest.raises(UserError, match="imagenet-r50 is the name of pretrained weights and a path too; .* write ./im"):
        named.entry_of("imagenet-r50")


@pytest.mark.parametrize(
    "value, hint",
    [
        ("imagenet-r5O", "did you mean .*imagenet-r50"),
        ("imagnet-r50-cafe", "did you mean imagenet-r50-caffe"),
        ("zzz", "awsdet weights --list shows the names"),
    ],
)
def test_mistyped_name_is_refused_in_one_line(value, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^weights {value}: there is no such file, and .*{hint}"):
        named.entry_of(value)


def test_cache_is_what_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("AWSDET_WEIGHTS_MIRROR", "http://mirror.example/")
    cache = Cache.from_environment()
    assert cache == (tmp_path, "http://mirror.example")
    entry = ENTRIES["imagenet-r50"]
    assert not cache.holds(entry) and named.to_fetch("imagenet-r50") is entry
    (tmp_path / "resnet50-0676ba61.pth").write_bytes(b"PK")
    assert cache.holds(entry) and named.to_fetch("imagenet-r50") is None
    with pytest.raises(UserError, match="are not imagenet-r50: it has 2 bytes, not 102530333; remove that file"):
        named.path_of("imagenet-r50")
    monkeypatch.setenv("AWSDET_WEIGHTS", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache.from_environment().folder == tmp_path / ".cache" / "awsdet" / "weights"

"""Archives: what is good is unpacked, and what would write elsewhere is refused before anything is written."""

import io
import os
import tarfile

import pytest

from awsdet.runtime.errors import UserError
from awsdet.sagemaker.archives import extract


def entry(name, kind=tarfile.REGTYPE, link="", content=b"text", mode=0o644):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, mode
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    return member, io.BytesIO(content)


def archive(path, *entries, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for member, content in entries:
            tar.addfile(member, content)
    return path


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "outer" / "target"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:xz"])
def test_unpacks_files_folders_and_links_inside(tmp_path, target, mode):
    path = archive(
        tmp_path / "model.tar.gz",
        entry("./weights.npz", content=b"1"),
        entry("a", tarfile.DIRTYPE, mode=0o755),
        entry("a/b/c.txt", content=b"2"),
        entry("a/best", tarfile.SYMTYPE, "b"),
        entry("same", tarfile.LNKTYPE, "a/b/c.txt"),
        mode=mode,
    )
    assert extract(path, target) == 2
    assert (target / "weights.npz").read_bytes() == b"1"
    assert (target / "a/best/c.txt").read_bytes() == b"2" == (target / "same").read_bytes()


def test_empty_archive(tmp_path, target):
    assert extract(archive(tmp_path / "x.tar.gz"), target) == 0


BAD = {
    "absolute": entry("/tmp/evil"),
    "up": entry("../evil"),
    "up inside": entry("a/../../evil"),
    "backslash": entry("..\\evil"),
    "link out": entry("link", tarfile.SYMTYPE, "/etc/passwd"),
    "link up": entry("a/link", tarfile.SYMTYPE, "../../evil"),
    "link by detour": entry("link", tarfile.SYMTYPE, "a/.."),
    "hard link out": entry("link", tarfile.LNKTYPE, "/etc/passwd"),
    "hard link up": entry("link", tarfile.LNKTYPE, "../evil"),
    "character device": entry("null", tarfile.CHRTYPE),
    "block device": entry("disk", tarfile.BLKTYPE),
    "pipe": entry("pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_refuses_before_anything_is_written(tmp_path, target, bad):
    path = archive(tmp_path / "model.tar.gz", entry("good"), bad)
    with pytest.raises(UserError, match="model.tar.gz is refused: its entry"):
        extract(path, target)
    assert list(target.iterdir()) == [] and sorted(os.listdir(target.parent)) == ["target"]


def test_chain_of_links_does_not_lead_out(tmp_path, target):
    """`here` is the folder itself, so here/.. would be the folder above it."""
    path = archive(
        tmp_path / "model.tar.gz",
        entry("here", tarfile.SYMTYPE, "."),
        entry("above", tarfile.SYMTYPE, "here/.."),
        entry("above/evil"),
    )
    with pytest.raises(UserError, match="above"):
        extract(path, target)
    assert sorted(os.listdir(target.parent)) == ["target"]


@pytest.mark.parametrize("has_filter", [True, False])
def test_owners_and_special_permissions_are_not_restored(tmp_path, target, monkeypatch, has_filter):
    """Also with a Python 3.10 or 3.11 that has no filters yet."""
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    member, content = entry("private", mode=0)
    member.uid = member.gid = 12345
    extract(archive(tmp_path / "y.tar.gz", (member, content)), target)
    found = (target / "private").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (os.getuid(), os.getgid(), 0o600)
    extract(archive(tmp_path / "x.tar.gz", entry("program", mode=0o4777)), target)
    assert (target / "program").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no archive", lambda data: b""])
def test_damaged_archive(tmp_path, target, damage):
    path = archive(tmp_path / "model.tar.gz", entry("a", content=os.urandom(5000)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="model.tar.gz cannot be unpacked .*fetch it again"):
        extract(path, target)


def test_flipped_bits_are_found(tmp_path, target):
    path = archive(tmp_path / "model.tar.gz", entry("a", content=os.urandom(5000)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be unpacked .*fetch it again"):
        extract(path, target)
    assert list(target.iterdir()) == []

"""Archives: what is good is extracted, and nothing of what is not lands outside the folder."""

import collections
import io
import os
import shutil
import stat
import tarfile
import zipfile

import pytest

from awsdet.runtime import archives
from awsdet.runtime.errors import UserError

PLENTY = 10**9


def make_tar(path, *entries, mode="w:gz"):
    """entries: (name or TarInfo, content) of files, or TarInfo."""
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = entry[0] if isinstance(entry[0], tarfile.TarInfo) else tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return path


def make_zip(path, *entries):
    """entries: (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def special(kind, target=""):
    info = tarfile.TarInfo("evil")
    info.type, info.linkname = kind, target
    return info


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "outer" / "target"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tar(tmp_path, target, suffix):
    mode = {"tar": "w", "tgz": "w:gz"}.get(suffix) or f"w:{suffix[4:]}"
    empty = tarfile.TarInfo("empty")
    empty.type = tarfile.DIRTYPE
    path = make_tar(tmp_path / f"a.{suffix}", ("./images/1.jpg", b"one"), empty, ("images/deep/2", b"2"), mode=mode)
    assert archives.is_archive(path) and not archives.is_archive(tmp_path / "a.gz")
    assert archives.extract(path, target, PLENTY) == (2, 4)
    assert content_of(target) == {"images/1.jpg": b"one", "images/deep/2": b"2"} and (target / "empty").is_dir()


def test_compression_is_told_by_content(tmp_path, target):
    assert archives.extract(make_tar(tmp_path / "model.tar.gz", ("a", b"1"), mode="w:xz"), target, PLENTY).files == 1


def test_zip(tmp_path, target):
    path = make_zip(tmp_path / "a.ZIP", ("x/", b""), ("x/1", b"one"))
    assert archives.extract(path, target, PLENTY) == (1, 3)
    assert content_of(target) == {"x/1": b"one"}


@pytest.mark.parametrize("make, name", [(make_tar, "a.tar"), (make_zip, "a.zip")])
def test_empty_archive(tmp_path, target, make, name):
    assert archives.extract(make(tmp_path / name), target, PLENTY) == (0, 0)


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a/..", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_paths_that_lead_out(tmp_path, target, make, name):
    path = make(tmp_path / ("a.zip" if make is make_zip else "a.tar.gz"), ("good", b"good"), (name, b"evil"))
    with pytest.raises(UserError, match="leads out of the archive"):
        archives.extract(path, target, PLENTY)
    assert content_of(target.parent) == {"target/good": b"good"}


@pytest.mark.parametrize(
    "entry",
    [
        special(tarfile.SYMTYPE, "/etc/passwd"),
        special(tarfile.SYMTYPE, "../outside"),
        special(tarfile.SYMTYPE, "good"),
        special(tarfile.SYMTYPE, "."),
        special(tarfile.LNKTYPE, "good"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
    ids=lambda entry: f"{entry.type.decode()}-{entry.linkname}",
)
def test_links_and_devices_in_a_tar(tmp_path, target, entry):
    path = make_tar(tmp_path / "a.tar", ("good", b""), entry, ("evil/file", b"through a link"), mode="w")
    with pytest.raises(UserError, match="a link or a device"):
        archives.extract(path, target, PLENTY)
    assert os.listdir(target) == ["good"]


def test_links_in_a_zip(tmp_path, target):
    info = zipfile.ZipInfo("evil")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="a link or a device"):
        archives.extract(make_zip(tmp_path / "a.zip", (info, "/etc/passwd")), target, PLENTY)
    assert os.listdir(target) == []


def test_owners_and_permissions_are_not_restored(tmp_path, target):
    info = tarfile.TarInfo("program")
    info.uid = info.gid = 12345
    info.mode = 0o6777
    archives.extract(make_tar(tmp_path / "a.tar", (info, b"1")), target, PLENTY)
    found = (target / "program").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7133) == (os.getuid(), os.getgid(), 0)


@pytest.mark.parametrize("make, name", [(make_tar, "a.tar.gz"), (make_zip, "a.zip")])
def test_more_bytes_than_the_limit(tmp_path, target, make, name):
    path = make(tmp_path / name, ("small", b"12345"), ("zeros", bytes(5_000_000)))
    assert path.stat().st_size < 50_000
    with pytest.raises(archives.TooLarge, match=f"{name} extracts to more than 0.0 GB"):
        archives.extract(path, target, 5_000_004)
    assert (target / "zeros").stat().st_size < 5_000_000
    shutil.rmtree(target)
    target.mkdir()
    assert archives.extract(path, target, 5_000_005) == (2, 5_000_005)


def test_room_leaves_a_gigabyte(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "free")
    for free, room in ((3_500_000_000, 2_500_000_000), (10, 0)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(free))
        assert archives.room(tmp_path) == room


@pytest.mark.parametrize("second", ["one", "./one"])
def test_one_name_twice(tmp_path, target, second):
    path = make_tar(tmp_path / "a.tar", ("one", b"1"), (second, b"2"), mode="w")
    with pytest.raises(UserError, match="which is there already"):
        archives.extract(path, target, PLENTY)
    assert content_of(target) == {"one": b"1"}


def test_progress_is_told_now_and_then(tmp_path, target, monkeypatch):
    monkeypatch.setattr(archives, "_PROGRESS_EVERY", 2)
    told = []
    archives.extract(make_tar(tmp_path / "a.tar", *((str(i), b"") for i in range(5))), target, PLENTY, told.append)
    assert told == [2, 4]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no archive", lambda data: b""])
def test_damaged_archive(tmp_path, target, name, damage):
    make = make_zip if name == "a.zip" else make_tar
    more = {} if name == "a.zip" else {"mode": f"w:{name[6:]}"}
    path = make(tmp_path / name, ("file", os.urandom(50_000)), **more)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{name} is damaged, encrypted or no archive"):
        archives.extract(path, target, PLENTY)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_flipped_bits_are_found(tmp_path, target, name):
    make = make_zip if name == "a.zip" else make_tar
    more = {} if name == "a.zip" else {"mode": f"w:{name[6:]}"}
    path = make(tmp_path / name, ("file", os.urandom(50_000)), **more)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{name} is damaged, encrypted or no archive"):
        archives.extract(path, target, PLENTY)


def test_a_checksum_at_the_end_is_checked(tmp_path, target):
    """All files are whole as far as tar can tell; gzip's checksum is wrong."""
    path = make_tar(tmp_path / "a.tar.gz", ("file", b"content" * 1000))
    data = bytearray(path.read_bytes())
    data[-8] ^= 255  # of the four bytes of the checksum
    path.write_bytes(data)
    with pytest.raises(UserError, match="CRC check failed"):
        archives.extract(path, target, PLENTY)


def test_a_broken_header_is_not_taken_for_the_end(tmp_path, target):
    path = make_tar(tmp_path / "a.tar", ("one", b"1"), ("two", b"2"), mode="w")
    data = bytearray(path.read_bytes())
    data[1024 + 150] ^= 255  # in the checksum of the second header
    path.write_bytes(data)
    with pytest.raises(UserError, match="more after its end"):
        archives.extract(path, target, PLENTY)


def test_a_disk_that_cannot_be_written_is_no_damage(tmp_path):
    path = make_tar(tmp_path / "a.tar", ("a" * 255 + "b", b"1"))
    with pytest.raises(OSError, match="name too long"):
        archives.extract(path, tmp_path, PLENTY)

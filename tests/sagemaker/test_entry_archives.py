"""Archives are extracted, and nothing of them lands outside the folder."""

import io
import stat
import tarfile
import zipfile

import pytest

from awsdet.runtime.errors import UserError
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_archives  # isort: skip


def make_tar(path, *entries, mode="w:gz"):
    """entries: (name, content) of files, or TarInfo."""
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
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


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tar(tmp_path, suffix):
    mode = {"tar": "w", "tgz": "w:gz"}.get(suffix) or f"w:{suffix[4:]}"
    path = make_tar(tmp_path / f"a.{suffix}", ("./images/1.jpg", b"one"), ("images/deep/2.jpg", b"two"), mode=mode)
    assert container_archives.is_archive(path)
    container_archives.extract_all([path], tmp_path / "out")
    assert (tmp_path / "out/images/1.jpg").read_bytes() == b"one"
    assert (tmp_path / "out/images/deep/2.jpg").read_bytes() == b"two"


def test_zips_share_a_tree(tmp_path):
    archives = [make_zip(tmp_path / "a.ZIP", ("x/", b""), ("x/1", b"1")), make_zip(tmp_path / "b.zip", ("x/2", b"2"))]
    container_archives.extract_all(archives, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/x").iterdir()) == ["1", "2"]


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a/..", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_paths_that_lead_out(tmp_path, make, name):
    path = make(tmp_path / ("a.zip" if make is make_zip else "a.tar.gz"), ("good", b"good"), (name, b"evil"))
    with pytest.raises(UserError, match="leads out of the archive"):
        container_archives.extract_all([path], tmp_path / "out")
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "entry",
    [
        special(tarfile.SYMTYPE, "/etc/passwd"),
        special(tarfile.SYMTYPE, "../outside"),
        special(tarfile.SYMTYPE, "good"),
        special(tarfile.LNKTYPE, "good"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
    ids=lambda entry: f"{entry.type.decode()}-{entry.linkname}",
)
def test_links_and_devices_in_a_tar(tmp_path, entry):
    path = make_tar(tmp_path / "a.tar", ("good", b""), entry, ("evil/file", b"through a link"), mode="w")
    with pytest.raises(UserError, match="a link or a device"):
        container_archives.extract_all([path], tmp_path / "out")
    assert not (tmp_path / "out" / "evil").exists()


def test_links_in_a_zip(tmp_path):
    info = zipfile.ZipInfo("evil")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="a link or a device"):
        container_archives.extract_all([make_zip(tmp_path / "a.zip", (info, "/etc/passwd"))], tmp_path / "out")


def test_more_bytes_than_the_limit(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "bomb.zip", ("zeros", b"\0" * 150_000_000))
    assert path.stat().st_size < 1_000_000
    disk = container_archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(container_archives.shutil, "disk_usage", lambda _: disk._replace(free=1_100_000_000))
    with pytest.raises(UserError, match="extracts to more than 0.1 GB; give the job a larger volume"):
        container_archives.extract_all([path], tmp_path / "out")
    assert (tmp_path / "out" / "zeros").stat().st_size <= 100_000_000
    monkeypatch.setenv("AWSDET_EXTRACT_LIMIT_GB", "1")
    container_archives.extract_all([path], tmp_path / "again")


def test_one_name_twice(tmp_path):
    path = make_tar(tmp_path / "a.tar", ("one", b"1"), ("one", b"2"), mode="w")
    with pytest.raises(UserError, match="which is there already"):
        container_archives.extract_all([path], tmp_path / "out")


def test_what_is_no_archive(tmp_path):
    whole = make_zip(tmp_path / "whole.zip", ("file", bytes(range(256)) * 100)).read_bytes()
    gzipped = make_tar(tmp_path / "whole.tar.gz", ("file", bytes(range(256)) * 100)).read_bytes()
    broken = {"a.zip": b"no zip", "a.tar": b"no tar" * 200, "b.zip": whole[:-40], "b.tar.gz": gzipped[:100]}
    for number, (name, content) in enumerate(broken.items()):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            container_archives.extract_all([tmp_path / name], tmp_path / f"out{number}")

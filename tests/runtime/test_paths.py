"""What users give as paths: anything that a file system takes, and clear words for what it does not."""

import os
import pathlib

import pytest

from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import WEIGHTS, PlainFolder, given_path

# Names that some program or library somewhere takes for something else than a name.
ODD_NAMES = (
    "a[1]",
    "a[!x-z]",
    "back\\slash",
    "s*t?r",
    "{x,y}",
    "two words",
    " ",
    "quo'te\"s",
    "100%d%s",
    "ha#sh",
    "new\nline",
    "tab\t",
    "-leading",
    "--output",
    "$HOME",
    "`ls`",
    "a;b&c|d",
    "~x",
    "é漢字🙂",
    os.fsdecode(b"latin-\xe9\xff"),
    "x" * 255,
    "s3:",
    "a:b",
    ".hidden",
    "...",
)
WORST_NAME = os.fsdecode(b"-a[1]\\*? {x} %d '\"#$(x)\n\xff~ s3:")


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_any_name_of_a_file_system_stays_as_it_is(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, pathlib.Path("relative", name), f"./{name}", f"{name}/below"):
        assert given_path(path, "--output") == str(path)
    (tmp_path / name / "file").write_text("here")
    folder = PlainFolder(tmp_path / name)
    assert (folder.path / "file").read_text() == "here"
    assert not set(b"[]*?\\{}\n\xe9\xff") & set(os.fsencode(folder.path))
    folder.close()
    folder.close()


def test_a_usual_folder_keeps_its_path(tmp_path):
    assert PlainFolder(tmp_path).path == tmp_path
    with pytest.raises(OSError):
        PlainFolder(tmp_path / "not [there]")


def test_an_odd_folder_is_closed_with_its_object(tmp_path):
    (tmp_path / "[1]").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    folder = PlainFolder(tmp_path / "[1]")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del folder
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "given, meant", [("~", "/home/of me"), ("~/x [1]", "/home/of me/x [1]"), ("./~", "./~"), ("a/~", "a/~"), ("", "")]
)
def test_the_home_folder(monkeypatch, given, meant):
    monkeypatch.setenv("HOME", "/home/of me")
    assert given_path(given, "--output") == meant


def test_bytes_and_path_objects_are_paths():
    assert given_path(b"/x/\xff", "--output") == "/x/\udcff"
    assert given_path(pathlib.Path("/x"), "--output") == "/x"


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize(
    "address, cure",
    [
        ("s3://bucket/key", "aws s3 cp --recursive"),
        ("S3://bucket/key", "aws s3 cp"),
        ("s3a://bucket/key", "on SageMaker"),
        ("s3:/bucket/key", "aws s3 cp"),  # as pathlib writes it
        ("gs://bucket/a b", "gcloud storage cp"),
        ("hdfs://host:9000/x", "hdfs dfs"),
        ("az://container/x", "azcopy"),
        ("abfss://c@account/x", "azcopy"),
        ("https://host/x.pth", ""),
        ("http://host/x", ""),
        ("file:///data/x y", "write /data/x y"),
        ("file://localhost/data", "write /data"),
        ("ftp://host/x", ""),
        ("memory://x", ""),
    ],
)
def test_an_address_is_refused_with_the_way_to_copy_it(address, cure, written):
    with pytest.raises(UserError) as error:
        given_path(address, "--output", written)
    said = str(error.value)
    assert said.startswith(f"--output={address} is an address, and ") and cure in said and "\n" not in said
    if not address.startswith("file"):
        assert ("afterwards" if written else "copy it here first") in said
    if cure.startswith(("aws", "gcloud")):  # from there to here, or from here to there
        words = said.partition(cure.split()[0] + " ")[2]
        assert (words.index("FOLDER") < words.index("bucket")) == written


def test_an_address_of_weights_tells_of_their_names():
    with pytest.raises(UserError, match=r"curl -fLO https://host/r50\.pth; or give a name of awsdet weights --list"):
        given_path("https://host/r50.pth", "--config.train.init_from", hint=WEIGHTS)


@pytest.mark.parametrize(
    "path, why",
    [
        ("x" * 256, "has a name of 256 bytes; a file system takes 255"),
        ("a/" + "é" * 128 + "/b", "has a name of 256 bytes"),
        ("a/" * 2000 + "b", "has 4001 bytes; give a path of 3840 at most"),
        ("nul\0l", "has a null character"),
        ("\ud800", "has a character that no path can have"),
        (3, "is 3; it must be a path"),
        (None, "is None; it must be a path"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_no_path_is_named_in_one_short_line(path, why):
    with pytest.raises(UserError) as error:
        given_path(path, "--draw")
    assert str(error.value).startswith("--draw") and why in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250

"""`awsdet download`: from a server on this machine to files and records, with what may go wrong on the way."""

import functools
import os
import pathlib
import stat
import subprocess
import sys
import time
import types
import zipfile

import pytest

from awsdet.cli import download as command
from awsdet.cli.main import main
from awsdet.data.download import fetching, sets
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.fetching import Patience
from awsdet.runtime.owner import acquire
from tests.data.download.made import ADDRESSES, FILES, data_set, zipped
from tests.weights.serving import Behaviour, serving

ROOT = pathlib.Path(__file__).parents[3]
CONTENTS = {part: zipped(files) for part, files in FILES.items()}
HASTY = Patience(seconds=0.5, attempts=2, pause=0.01)


@pytest.fixture
def server(monkeypatch):
    """A server of the made archives, which the command takes for COCO's."""
    monkeypatch.setitem(command.DATA_SETS, "coco2017", data_set(CONTENTS))
    monkeypatch.setattr(fetching, "Options", functools.partial(fetching.Options, patience=HASTY, segment=1000))
    with serving() as made:
        made.does = Behaviour(files={f"/{ADDRESSES[part]}": content for part, content in CONTENTS.items()})
        yield made


@pytest.fixture
def bring(server, tmp_path, capsys):
    """Runs the command. Returns (exit code, lines of stdout, last line of stderr)."""

    def run(*flags, name="coco2017"):
        mirror = [] if "--verify" in flags else [f"--from=http://127.0.0.1:{server.server_port}"]
        code = main(["download", name, str(tmp_path / "set"), *mirror, *flags])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out.splitlines(), (captured.err.splitlines() or [""])[-1]

    return run


def tree(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and "/records/" not in str(p)}


NAMES = {name for files in FILES.values() for name, _ in files if not name.endswith("/")}
LISTS = {f".download/{part}.json" for part in FILES}


def test_the_whole_way(bring, server, tmp_path):
    code, lines, _ = bring()
    assert code == 0, lines
    assert tree(tmp_path / "set") == NAMES | LISTS
    for files in FILES.values():
        for name, content in files:
            assert name.endswith("/") or (tmp_path / "set" / name).read_bytes() == content
    for split, count in (("train", 4), ("val", 2)):
        manifest = read_manifest(tmp_path / "set" / "records", split)
        assert manifest.num_images == count and manifest.anomalies.counts == {}
        assert [a["bbox"] for a in read_ground_truth(manifest)["annotations"]] == [[2, 3, 10, 8]] * count
    assert lines[0] == "coco2017: terms of use at https://terms.example"
    assert any(line.startswith("train: fetched http://127.0.0.1:") and "MD5 is right" in line for line in lines)
    assert lines[-1].endswith(f"--config.data.train_records={tmp_path}/set/records")
    asked = len(server.does.asked)
    code, lines, _ = bring()
    assert code == 0 and len(server.does.asked) == asked  # nothing is fetched again
    assert f"val: {tmp_path}/set/val2017 is there already" in lines


def test_parts_archives_kept_and_no_records(bring, tmp_path):
    assert bring("--parts=val,annotations", "--keep-archives", "--no-convert")[0] == 0
    files = {name for part in ("val", "annotations") for name, _ in FILES[part]}
    lists = {".download/val.json", ".download/annotations.json"}
    assert tree(tmp_path / "set") == files | lists | {"archives/val2017.zip", "archives/both.zip"}
    assert not (tmp_path / "set" / "records").exists()
    assert bring("--parts=val,annotations", "--verify")[0] == 0


def test_a_split_without_annotations_is_not_converted_and_that_is_said(bring):
    code, lines, _ = bring("--parts=val")
    assert code == 0 and lines[-1] == (
        "val: not converted, since annotations/instances_val2017.json is not there (--parts=annotations)"
    )


def test_verify_finds_what_is_missing_or_changed(bring, tmp_path):
    code, _, error = bring("--verify")
    assert code == 2 and error.endswith(f"{tmp_path}/set does not exist")
    bring("--parts=val,annotations", "--no-convert")
    assert bring("--verify", "--parts=val") == (
        0,
        ["val: 2 of 2 files have the bytes of the archive", f"{tmp_path}/set: all of this is sound"],
        "",
    )
    path = tmp_path / "set" / "val2017" / "0.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # of the same size
    (tmp_path / "set" / "val2017" / "1.jpg").unlink()
    code, lines, _ = bring("--verify")
    assert code == 1 and lines[:3] == [
        f"train: neither {tmp_path}/set/train2017 nor {tmp_path}/set/archives/train2017.zip is there",
        "val: 1 files are missing: val2017/1.jpg",
        "val: 1 files are changed: val2017/0.jpg",
    ]


def test_verify_takes_an_archive_for_the_list(bring, tmp_path):
    """The files may have been unpacked by another program."""
    folder = tmp_path / "set"
    (folder / "archives").mkdir(parents=True)
    (folder / "archives" / "val2017.zip").write_bytes(CONTENTS["val"])
    with zipfile.ZipFile(folder / "archives" / "val2017.zip") as archive:
        archive.extractall(folder)
    assert bring("--verify", "--parts=val")[0] == 0
    (folder / "archives" / "val2017.zip").write_bytes(CONTENTS["val"][:-1] + b"?")
    code, lines, _ = bring("--verify", "--parts=val")
    assert code == 1 and "is not right: its MD5 is" in lines[0] and "neither a list" in lines[1]


def test_a_file_with_another_md5_is_never_unpacked(bring, server, tmp_path):
    server.does.files["/zips/val2017.zip"] = bytes(len(CONTENTS["val"]))
    code, _, error = bring("--parts=val")
    assert code == 1 and "zips/val2017.zip gives another file: its MD5 is" in error
    assert error.endswith("give the same command again, or name a mirror with --from")
    assert tree(tmp_path / "set") == set()
    server.does.files["/zips/val2017.zip"] = CONTENTS["val"]
    assert bring("--parts=val", "--no-convert")[0] == 0


def test_an_archive_put_there_by_hand_is_checked(bring, server, tmp_path):
    archives = tmp_path / "set" / "archives"
    archives.mkdir(parents=True)
    (archives / "val2017.zip").write_bytes(CONTENTS["val"][:-1])
    code, _, error = bring("--parts=val")
    assert code == 2 and f"has {len(CONTENTS['val']) - 1} bytes, not" in error and "remove it" in error
    (archives / "val2017.zip").write_bytes(CONTENTS["val"])
    code, lines, _ = bring("--parts=val", "--no-convert")
    assert code == 0 and server.does.asked == [] and "val2017.zip was there; its MD5 is right" in lines[1]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_goes_on(bring, server, ranges):
    server.does.cut = [1_000, 1_500] + [0] * 30
    code, _, error = bring("--parts=val", "--no-convert", "--connections=1")
    assert code == 1 and "the connection ended after" in error
    server.does.cut, server.does.ranges = [], ranges
    server.does.asked.clear()
    assert bring("--parts=val", "--no-convert")[0] == 0
    asked = [asked for _, asked in server.does.asked]
    assert "bytes=0-999" not in asked  # that segment had come
    assert ("bytes=1500-1999" in asked) and (None in asked) != ranges


KILLED = """
import sys
from awsdet.cli import download, main
from tests.data.download.made import data_set
from tests.data.download.test_download import CONTENTS, fetching, functools
download.DATA_SETS["coco2017"] = data_set(CONTENTS)
fetching.Options = functools.partial(fetching.Options, segment=1000)
main.main(sys.argv[1:])
"""


def test_a_download_that_was_killed_goes_on(bring, server, tmp_path):
    server.does.slow = 0.5  # after each segment
    mirror = f"--from=http://127.0.0.1:{server.server_port}"
    arguments = ["download", "coco2017", tmp_path / "set", mirror, "--parts=val", "--connections=1"]
    killed = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    first = tmp_path / "set" / "archives" / ".val2017.zip.0000-1000"
    while not first.is_file() and killed.poll() is None:
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    server.does.slow = 0
    server.does.asked.clear()
    assert first.is_file() and bring("--parts=val", "--no-convert")[0] == 0
    assert "bytes=0-999" not in [asked for _, asked in server.does.asked]


def test_a_server_that_stops_sending_ends_in_one_line(bring, server):
    server.does.silent = True
    code, _, error = bring("--parts=val")
    assert code == 1 and "cannot be reached (no answer in time); what was fetched is kept" in error


@pytest.mark.parametrize(
    "files, words",
    [
        ([("../x", b"1")], "holds the path '../x', which leads out of the archive; it is not unpacked"),
        ([("val2017/../../x", b"1")], "holds the path 'val2017/../../x', which leads out"),
        ([("/etc/x", b"1")], "holds the path '/etc/x', which leads out"),
        ([("other/a", b"1")], "holds no file in val2017/; it is not unpacked"),
        ([("val2017", b"1")], "holds no file in val2017/"),
        ([("val2017\\a", b"1")], "which leads out of the archive"),
        ([("val2017/a", bytes(20_001))], "would unpack to 20001 bytes, and about 10000 were expected"),
        ([("val2017/a", b"1"), ("val2017/a", b"2")], "which is there already; pack it once"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_up_to_something_is_refused(bring, server, monkeypatch, tmp_path, files, words):
    serve(server, monkeypatch, zipped(files))
    code, _, error = bring("--parts=val")
    assert code == 2 and words in error
    assert tree(tmp_path / "set") == {"archives/val2017.zip"} and not (tmp_path / "x").exists()


def test_what_an_archive_holds_besides_is_left_out_with_a_word(bring, server, monkeypatch, tmp_path, caplog):
    serve(server, monkeypatch, zipped([*FILES["val"], ("__MACOSX/x", b"1")]))
    assert bring("--parts=val", "--no-convert")[0] == 0
    assert "val2017.zip holds 1 file(s) outside val2017/, such as __MACOSX/x; they are left out" in caplog.text
    assert tree(tmp_path / "set") == {"val2017/0.jpg", "val2017/1.jpg", ".download/val.json"}
    assert bring("--parts=val", "--verify")[0] == 0


def serve(server, monkeypatch, content):
    """Makes `content` the archive val, with its MD5."""
    monkeypatch.setitem(command.DATA_SETS, "coco2017", data_set({**CONTENTS, "val": content}))
    server.does.files["/zips/val2017.zip"] = content


def test_links_and_damage_are_refused(bring, server, monkeypatch, tmp_path):
    link = zipfile.ZipInfo("val2017/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    serve(server, monkeypatch, zipped([(link, "/etc")]))
    code, _, error = bring("--parts=val")
    assert code == 2 and "holds 'val2017/link', which is a link or a device" in error
    (tmp_path / "set" / "archives" / "val2017.zip").unlink()
    content = bytearray(zipped([("val2017/a", b"a" * 500), ("val2017/b", b"b" * 500)], zipfile.ZIP_STORED))
    content[content.index(b"bbbb") + 99] ^= 1
    serve(server, monkeypatch, bytes(content))
    code, _, error = bring("--parts=val")
    assert code == 2 and "is damaged, encrypted or no archive (Bad CRC-32" in error
    (tmp_path / "set" / "archives" / "val2017.zip").unlink()
    serve(server, monkeypatch, b"<html>no archive</html>")
    code, _, error = bring("--parts=val")
    assert code == 2 and "is damaged or no zip file" in error
    assert tree(tmp_path / "set") == {"archives/val2017.zip"}


def test_an_interrupted_unpacking_begins_anew(bring, monkeypatch, tmp_path):
    """A process killed in the middle leaves a folder of another name; one killed before the end only the list."""
    left = tmp_path / "set" / ".aside-val"
    (left / "val2017").mkdir(parents=True)
    (left / "val2017" / "0.jpg").write_bytes(b"half")
    (tmp_path / "set" / ".download").mkdir()
    (tmp_path / "set" / ".download" / "val.json").write_text('{"files": []}')
    assert bring("--parts=val", "--no-convert")[0] == 0
    assert not left.exists() and bring("--verify", "--parts=val")[0] == 0


def test_a_folder_of_someone_else_is_left_alone(bring, server, tmp_path):
    (tmp_path / "set" / "val2017").mkdir(parents=True)
    code, _, error = bring("--parts=val")
    assert code == 2 and "val2017 is there already, and this command did not write it; move it away" in error
    assert server.does.asked == []


@pytest.mark.parametrize("flags, needed", [((), 0), (("--no-convert",), 1), (("--no-convert", "--keep-archives"), 2)])
def test_too_little_room_is_told_before(bring, server, monkeypatch, tmp_path, flags, needed):
    train, val = len(CONTENTS["train"]), len(CONTENTS["val"])
    # Files and records at the end; both archives and the files of train, when the second is unpacked; all of it.
    needed = (max(40_000, train + val + 10_000), max(20_000 + val, train + val + 10_000), 20_000 + train + val)[needed]
    state = types.SimpleNamespace(f_bavail=needed - 1, f_frsize=1, f_blocks=1, f_bfree=1)
    monkeypatch.setattr("awsdet.runtime.fetching._MARGIN", -(2**30))
    monkeypatch.setattr(os, "statvfs", lambda path: state)
    code, _, error = bring("--parts=train,val", *flags)
    assert code == 2 and "the archives and files of coco2017" in error and "left; make room" in error
    assert ("and their records" in error) == (not flags) and server.does.asked == []
    state.f_bavail += 1
    assert bring("--parts=train,val", "--no-convert", *flags[1:])[0] == 0


def test_a_full_disk_leaves_what_was_fetched(bring, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    size = len(CONTENTS["train"]) + 10_000
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={size // 4096 + 2}k,nr_blocks={size // 4096 + 2}",
        "tmpfs",
        str(folder),
    ]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small file system")
    try:
        monkeypatch.setattr("awsdet.runtime.fetching._MARGIN", -(2**30))
        monkeypatch.setattr("awsdet.data.download.fetching.check_room", lambda *_: None)
        monkeypatch.setattr("awsdet.data.download.unpacking.check_room", lambda *_: None)
        (folder / "ballast").write_bytes(bytes(8192))
        code, _, error = bring("--parts=train", "--no-convert")
        assert code == 1 and ("No space left" in error or "no space is left" in error), error
        assert not [path for path in folder.iterdir() if path.name.startswith(".aside")]
        assert (folder / "archives").is_dir()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "the data set is missing: awsdet download NAME DIR"),
        (["coco2017"], "the folder is missing: awsdet download coco2017 DIR"),
        (["coco", "x"], "no data set is called coco; did you mean coco2017?"),
        (["lvis", "x"], "no data set is called lvis; there is coco2017"),
        (
            ["coco2017", "x", "--parts=train,test"],
            "--parts=train,test: coco2017 has no part 'test', but train, val, ann",
        ),
        (["coco2017", "x", "--from=ftp://x"], "--from=ftp://x is no URL like https://mirror.example"),
        (["coco2017", "x", "--from=https://me:word@x"], "--from holds a user name"),
        (["coco2017", "x", "--verify", "--no-convert"], "--no-convert has no meaning with --verify"),
        (["coco2017", "s3://b/x"], "--folder=s3://b/x is an address"),
        (["coco2017", "x", "--connections=0"], "--connections=0"),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["download", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not list(tmp_path.rglob("*.zip"))


def test_two_downloads_do_not_share_a_folder(bring, tmp_path):
    (tmp_path / "set").mkdir()
    other = acquire(tmp_path / "set" / ".download.lock", "the other one")
    code, _, error = bring("--parts=val")
    other.release()
    assert code == 2 and "the download of coco2017" in error and "is being written by another run" in error


def test_the_table_of_coco_is_sound():
    (one,) = [data for name, data in sets.DATA_SETS.items() if name == "coco2017"]
    assert [archive.file for archive in one.archives] == [
        "train2017.zip",
        "val2017.zip",
        "annotations_trainval2017.zip",
    ]
    assert all(len(archive.md5) == 32 and set(archive.md5) <= set("0123456789abcdef") for archive in one.archives)
    assert {split.images for split in one.splits} <= {archive.folder for archive in one.archives}


def test_nothing_but_the_conversion_needs_tensorflow(tmp_path):
    code = "import sys; from awsdet.cli.main import main; print(main(sys.argv[1:]), 'tensorflow' in sys.modules)"
    arguments = [sys.executable, "-c", code, "download", "coco2017", tmp_path, "--verify"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "1 False", done.stderr

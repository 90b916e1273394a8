"""Files that are read, and those that are refused in one line that says what and where."""

import gzip
import json
import os
import pickle

import pytest

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.json_file import read_json_file
from awsdet.runtime.errors import UserError

CONTENT = {"images": [{"id": 1, "file_name": "größe.png"}], "annotations": [], "categories": [{"id": 1, "name": "猫"}]}
TEXT = json.dumps(CONTENT, ensure_ascii=False)


def read(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    found = Anomalies()
    return read_json_file(tmp_path / "a.json", found)[0], found


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        gzip.compress(TEXT.encode(), mtime=0),
        gzip.compress(TEXT.encode("utf-8-sig"), mtime=0)
        + gzip.compress(b"\n", mtime=0),  # two members, as pigz may write
        b"\r\n " + TEXT.encode() + b"\n\n",
    ],
)
def test_every_encoding_of_json_is_read(tmp_path, data):
    content, found = read(tmp_path, data)
    assert content == CONTENT and not found.counts


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty; copy it again"),
        (b" \n\t", "is empty but for blanks"),
        (bytes(4096), "is empty but for blanks"),
        (TEXT[:40].encode(), r"ends in the middle, after 40 characters \(line 1, column 41\)"),
        (TEXT[:-1].encode(), "ends in the middle"),
        (b'{\n "a": "some te', r"ends in the middle, after 16 characters \(line 2, column 15\)"),
        (b'{"a": tru', "ends in the middle"),
        (b'{"a": 1.', "ends in the middle"),
        (b'{"a": 1e', "ends in the middle"),
        (b'{"a": 1]', r"Expecting ',' delimiter at line 1, column 8 \('\]'\); correct it"),
        (b"{'a': 1}", "double quotes at line 1, column 2"),
        (b'{"a": 1}}', "Extra data at line 1, column 9"),
        (b'y"images": [{"id": 1, "b": 2}], "annotations": []}', "Expecting value at line 1, column 1"),
        (b'{"a": 01}', "line 1, column 8"),
        ('{"a": "ä"}'.encode("latin-1"), r"byte 7 \(0xe4\) is no UTF-8; save it as UTF-8"),
        (TEXT.encode("utf-16")[:-1], "no UTF-16"),
        (b"[" * 100_000, "nests lists or objects too deeply"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nests lists or objects too deeply"),
        (b"[" + b"9" * 5000 + b"]", "a number of more than 4300 digits"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "is a damaged gzip file"),
        (gzip.compress(TEXT.encode(), mtime=0)[:20] + b"garbage" * 9, "is a damaged gzip file"),
        (b"\x1f\x8b", "is a damaged gzip file"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"PK\x03\x04rest", "is a ZIP archive; unpack it first"),
        (b"BZh91AY", "is compressed by bzip2; unpack it first"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is an image"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, data, words):
    with pytest.raises(UserError, match=rf"annotation file .*a\.json .*{words}") as error:
        read(tmp_path, data)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 300


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_json_file(tmp_path, Anomalies())
    with pytest.raises(UserError, match="does not exist"):
        read_json_file(tmp_path / "b.json", Anomalies())


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"images": [1], "images": []}', "gives 'images' twice"),
        ('{"annotations": [{"id": 1, "image_id": 3, "image_id": 4}]}', "gives 'image_id' twice in one object: 3 and 4"),
        ('[{"id": 1, "id": "1"}]', "gives 'id' twice in one object: 1 and 1"),
        ('[{"id": 1, "id": 2, "id": 1}]', "gives 'id' twice in one object: 1 and 2"),
        ('[{"file_name": "a", "file_name": "b"}]', "gives 'file_name' twice in one object: a and b"),
    ],
)
def test_two_values_of_a_key_that_decides_where_something_belongs_are_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, text.encode())


def test_other_keys_given_twice_are_counted_and_the_last_taken(tmp_path):
    content, found = read(tmp_path, b'[{"id": 7, "id": 7, "bbox": [1], "bbox": [2]}, {"x": 1, "x": 2}]')
    assert content == [{"id": 7, "bbox": [2]}, {"x": 2}]
    assert found.counts == {"key_twice": 3}
    assert found.examples["key_twice"][1:] == ["'bbox' in the object with id 7", "'x' in an object of x"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0", "an image .PNG."),
        (b"\xff\xd8\xff\xe0\0", "an image .JPEG."),
        (b"GIF89a", "an image .GIF."),
        (b"%PDF-1.7", "a PDF"),
        (pickle.dumps(CONTENT), "a pickle of Python"),
        (b"\x93NUMPY\x01\0", "an array of NumPy"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (gzip.compress(gzip.compress(TEXT.encode())), "gzip in gzip"),
    ],
)
def test_binary_files_are_named_and_not_told_to_be_saved_as_utf_8(tmp_path, data, words):
    with pytest.raises(UserError, match=f"^annotation file .*a.json is {words}, not JSON; give the annotation file"):
        read(tmp_path, data)


def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for path in (tmp_path / "a.json", "/dev/null"):
        with pytest.raises(UserError, match="is a pipe or a device, not a file; write its content to a file"):
            read_json_file(path, Anomalies())
    with pytest.raises(UserError, match="does not exist"):
        read_json_file(tmp_path / "b.json", Anomalies())

"""Pickles: arrays and plain containers of every protocol come out, everything else is refused by name."""

import collections
import os
import pickle
import struct

import numpy as np
import pytest

from awsdet.runtime.errors import UserError
from awsdet.weights import pickles

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.float16([0.5, 2]),
    "counts": np.arange(4, dtype=np.int64),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "single": np.array(3.5, np.float32),
    "big-endian": np.arange(3, dtype=">f4"),
}


def pickle_file(folder, content):
    path = folder / "weights.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol, tmp_path):
    content = {
        "blobs": collections.OrderedDict(ARRAYS),
        "author": "someone",
        "number": 3,
        "list": [1, (2.5, None)],
        "scalar": np.float32(0.25),
    }
    found = pickles.read(pickle_file(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert found["author"] == "someone" and found["number"] == 3 and found["list"] == [1, (2.5, None)]
    assert found["scalar"] == np.float32(0.25)
    assert list(found["blobs"]) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found["blobs"][name].dtype == array.dtype and found["blobs"][name].shape == array.shape
        np.testing.assert_array_equal(found["blobs"][name], array)


def test_python_2(tmp_path):
    """As cPickle of Python 2 wrote it: strings of bytes, and protocol 2's bytes as such a string."""
    data = np.float32([1.5, -2.25]).tobytes()
    text = (
        b"\x80\x02}q\x00U\x07conv1_wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b"
        b"\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff"
        b"\xff\xffK\x00tb\x89T" + struct.pack("<i", len(data)) + data + b"tbs."
    )
    found = pickles.read(pickle_file(tmp_path, text))
    assert list(found) == ["conv1_w"]
    np.testing.assert_array_equal(found["conv1_w"], np.float32([1.5, -2.25]))


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "content, named",
    [
        (Calls(os.system, "true"), "posix.system"),
        (Calls(eval, "1"), "builtin.*eval"),
        (Calls(getattr, "text", "upper"), "builtin.*getattr"),
        (Calls(np.load, "/etc/passwd"), "numpy.*load"),
        (Calls(np.ndarray, (1 << 40,)), "TypeError"),  # the name is known, but nothing is called
        (np.array([{"a": 1}], dtype=object), "'O8'"),
        (np.array(["text"]), "'U4'"),
        (np.zeros(2, [("a", "f4")]), "'V4'"),
        (set, "builtin.*set"),
        (collections.Counter("aab"), "collections.Counter"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_else_is_refused_and_named(content, named, protocol, tmp_path):
    path = pickle_file(tmp_path, pickle.dumps({"conv1_w": content}, protocol=protocol))
    with pytest.raises(UserError, match=named) as error:
        pickles.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_nothing_is_run(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(UserError, match="refused"):
        pickles.read(pickle_file(tmp_path, pickle.dumps(Calls(os.mkdir, str(mark)))))
    assert not mark.exists()


def test_what_stands_for_a_name_cannot_be_changed(tmp_path):
    """A pickle may set attributes of its own objects, but not of the reader's."""
    rebuilt = pickle.dumps(ARRAYS["matrix"], protocol=2)
    attack = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}X\x08\x00\x00\x00__call__X\x01\x00\x00\x00xsb."
    with pytest.raises(UserError, match="no readable pickle"):
        pickles.read(pickle_file(tmp_path, attack))
    np.testing.assert_array_equal(pickles.read(pickle_file(tmp_path, rebuilt)), ARRAYS["matrix"])


def test_small_pickles_that_ask_for_much(tmp_path):
    """A memo of two thousand million entries; a dict that contains itself a thousand times."""
    assert pickles.read(pickle_file(tmp_path, b"\x80\x02}r\xff\xff\xff\x7f.")) == {}
    itself = {}
    itself.update({index: itself for index in range(1000)})
    assert len(pickles.read(pickle_file(tmp_path, pickle.dumps(itself)))) == 1000
    first, second = {}, {}
    first.update({index: second for index in range(1000)})
    second.update({index: first for index in range(1000)})
    assert len(pickles.read(pickle_file(tmp_path, pickle.dumps(first)))) == 1000


@pytest.mark.parametrize(
    "operations, named",
    [
        (b"(" + b"N\x85" + b"2\x86" * 90 + b"Nd.", "a key of type tuple"),  # its hash takes 2 ** 90 steps
        (b"}N\x85" + b"2\x86" * 90 + b"Ns.", "a key of type tuple"),
        (b"\x8f(N\x85" + b"2\x86" * 90 + b"\x90.", "a key of type tuple"),
        (b"(N\x85" + b"2\x86" * 90 + b"\x91.", "a key of type tuple"),
        (b"\x96" + struct.pack("<Q", 1 << 44) + b"x.", "no readable pickle"),  # a bytearray
        (b"\x8e" + struct.pack("<Q", 1 << 44) + b"x.", "no readable pickle"),  # bytes
        (b"]]b.", "sets attributes of an object of type list"),
        (b"}Na.", "appends to an object of type dict"),
        (b"]NNs.", "sets items of an object of type list"),
        (b"](N\x90.", "adds to an object of type list"),
        (b"]NR.", "TypeError"),
        (b"])R.", "calls an object of type list"),
        (b"])\x81.", "calls an object of type list"),
        (b"])}\x92.", "calls an object of type list"),
        (b"(]No.", "calls an object of type list"),
        (b"(ios\nsystem\n.", "names os.system"),
        (b"\x82\x01.", "names an object by the number 1"),
    ],
)
def test_operations_on_what_they_are_not_for(operations, named, tmp_path):
    with pytest.raises(UserError, match=named) as error:
        pickles.read(pickle_file(tmp_path, b"\x80\x05" + operations))
    assert str(error.value).isprintable()


def test_references_out_of_the_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="refers to 'elsewhere'"):
        pickles.read(pickle_file(tmp_path, b"\x80\x02X\x09\x00\x00\x00elsewhereQ."))


@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense", pickle.dumps(ARRAYS)[:-40]])
def test_broken_files(content, tmp_path):
    with pytest.raises(UserError, match="no readable pickle"):
        pickles.read(pickle_file(tmp_path, content))


def test_arrays_of_another_size_than_their_bytes_are_refused(tmp_path):
    content = pickle.dumps(np.zeros((2, 3), np.float32), protocol=2).replace(b"K\x02K\x03\x86", b"K\x02K\x07\x86")
    with pytest.raises(UserError, match="cannot reshape"):
        pickles.read(pickle_file(tmp_path, content))

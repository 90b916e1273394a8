"""Files of PyTorch: those that PyTorch wrote come out number for number; broken and harmful ones end in one line."""

import logging
import pathlib
import stat
import zipfile

import numpy as np
import pytest

from awsdet.runtime.errors import UserError
from awsdet.weights import files, pth
from tests.weights import torch_files
from tests.weights.torch_files import Call, Named, Storage, tensor

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pth"  # make.py there made them with PyTorch
LARGEST = 2**30
ROW = np.arange(24, dtype=np.float32)


def expected():
    """What make.py stored: name -> array."""
    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    found = {}
    for kind in kinds:
        found[kind] = np.arange(6).reshape(2, 3).astype(np.float32 if "float" in kind else kind)
    channels_last = ROW.reshape(1, 2, 3, 4)
    return {
        **found,
        "whole": ROW,
        "transposed": ROW.reshape(4, 6).T,
        "part": ROW[5:17:3],
        "expanded": np.full((3, 2), 7, np.float32),
        "channels_last": channels_last,
        "parameter": ROW[:6].reshape(2, 3),
        "noted": ROW[:4],
        "single": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert isinstance(found[key], np.ndarray) and found[key].dtype == value.dtype, key
        assert found[key].shape == value.shape, key
        np.testing.assert_array_equal(found[key], value, key)


@pytest.mark.parametrize("name", ["zip", "old", "old_4", "old_5"])
def test_what_pytorch_wrote(name):
    assert_equal(files.read(FIXTURES / f"{name}.pth").arrays, expected())


@pytest.mark.parametrize("name", ["zip", "old"])
def test_a_checkpoint_of_training_loses_only_its_log_and_says_so(name, caplog):
    """It holds an optimizer, and logs of mmengine, which is not installed."""
    with caplog.at_level(logging.WARNING):
        table = files.read(FIXTURES / f"{name}.pth")
    assert table.kind == "pth"
    assert table.metadata == {"dataset_meta": {"classes": ("cat", "dog")}, "epoch": 12, "time": 1.5}
    assert "mmengine.logging.history_buffer.HistoryBuffer, builtins.getattr are left out" in caplog.text


def test_types_that_have_no_class_of_storages():
    found = files.read(FIXTURES / "newer_types.pth").arrays
    assert_equal(found, {kind: np.array([0, 1, 2**15], kind) for kind in ("uint16", "uint32", "uint64")})


@pytest.mark.parametrize(
    "name, reason",
    [
        ("sparse", r"w is a torch\._utils\._rebuild_sparse_tensor, which is not read"),
        ("quantised", r"w is a torch\._utils\._rebuild_qtensor, which is not read"),
        ("complex", r"w is a torch\.ComplexFloatStorage, which is not read"),
        ("float8", r"w is a torch\.float8_e4m3fn, which is not read"),
        ("model", r"holds an object of torch\.nn\.modules\.linear\.Linear, not a dict of weights"),
    ],
)
def test_what_is_not_read_is_named_with_the_cure(name, reason):
    with pytest.raises(UserError, match=rf"{name}\.pth: .*{reason}; save plain tensors alone: torch\.save"):
        files.read(FIXTURES / f"{name}.pth")


@pytest.fixture(params=["zip", "old"])
def read(request, tmp_path):
    """Writes content in both formats, and reads it."""

    def read_content(content):
        path = tmp_path / "x.pth"
        torch_files.save(path, content, request.param == "zip")
        return pth.read(path, LARGEST)

    return read_content


def test_the_writer_of_these_tests_writes_as_pytorch_does(read):
    arrays = {key: np.ascontiguousarray(value) for key, value in expected().items()}
    arrays = {key: value.reshape(expected()[key].shape) for key, value in arrays.items()}
    assert_equal(read({"model": torch_files.tensors(arrays), "iteration": 3}).arrays, expected())


def test_storages_that_no_weights_need_are_not_read(tmp_path):
    """The optimizer's storage is missing in this archive."""
    content = {"state_dict": {"w": tensor(Storage(ROW))}, "optimizer": {"m": tensor(Storage(ROW, "1"))}}
    members = torch_files.members(content)
    del members["archive/data/1"]
    (tmp_path / "x.pth").write_bytes(torch_files.zipped(members))
    assert_equal(pth.read(tmp_path / "x.pth", LARGEST).arrays, {"w": ROW})


@pytest.mark.parametrize("kind", ["f4", "f2", "f8", "i4"])
def test_big_endian(kind, tmp_path):
    numbers = ROW.astype(kind)
    (tmp_path / "x.pth").write_bytes(torch_files.zipped(torch_files.members({"w": tensor(Storage(numbers))}, ">")))
    wanted = numbers.astype(np.float32) if kind[0] == "f" else numbers
    assert_equal(pth.read(tmp_path / "x.pth", LARGEST).arrays, {"w": wanted})


def test_compressed_again_by_another_program(tmp_path):
    members = torch_files.members({"w": tensor(Storage(ROW))})
    (tmp_path / "x.pth").write_bytes(torch_files.zipped(members, zipfile.ZIP_DEFLATED))
    assert_equal(pth.read(tmp_path / "x.pth", LARGEST).arrays, {"w": ROW})


LOG = Call(Named("package.logs", "Log"), (1,), {"values": [1, 2]})


def test_unknown_objects_outside_of_the_weights_are_left_out(read):
    meta = {"epoch": 1, "log": LOG, "list": [1, LOG], "inner": {"log": LOG, "text": "t"}, "names": ["a", ("b",)]}
    found = read({"state_dict": {"w": tensor(Storage(ROW))}, "meta": meta, "hooks": [LOG], "__main__": LOG})
    assert_equal(found.arrays, {"w": ROW})
    assert found.meta == {"epoch": 1, "inner": {"text": "t"}, "names": ["a", ("b",)]}
    assert found.unread == ["package.logs.Log"]


@pytest.mark.parametrize(
    "content, reason",
    [
        ({"state_dict": {"w": LOG}}, "w is a package.logs.Log, which is not read"),
        ({"state_dict": LOG}, "its state_dict is an object of package.logs.Log"),
        ({"w": tensor(Storage(ROW)), "v": LOG}, "v is a package.logs.Log"),
        (LOG, "it holds an object of package.logs.Log"),
        ([1], "it holds a list, not a dict of weights"),
        ({"w": Call(Named("torch.storage", "_load_from_bytes"), (b"x",))}, r"w is a torch.storage._load_from_bytes"),
        ({"w": tensor(Storage(ROW), metadata=({"neg": True},))}, "a tensor has the metadata neg"),
    ],
)
def test_unknown_objects_in_the_weights_are_refused(content, reason, read):
    with pytest.raises(UserError, match=reason):
        read(content)


SYSTEM = Named("os", "system")
GETATTR = Named("builtins", "getattr")


@pytest.mark.parametrize("place", ["weights", "elsewhere"])
@pytest.mark.parametrize(
    "attack, named",
    [
        (lambda mark: Call(SYSTEM, (f"touch {mark}",)), "os.system"),
        (lambda mark: Call(Named("posix", "mkdir"), (mark,)), "posix.mkdir"),
        (lambda mark: Call(Named("__builtin__", "eval"), (f"open({mark!r}, 'w')",)), "builtins.eval"),
        (lambda mark: Call(Named("pathlib", "Path.touch"), (mark,)), "pathlib.Path.touch"),
        (
            lambda mark: Call(Call(GETATTR, (Call(Named("builtins", "__import__"), ("os",)), "mkdir")), (mark,)),
            "builtins.__import__",
        ),
        (lambda mark: Call(Call(GETATTR, (Named("importlib", "import_module"), "x")), ("os",)), "importlib.import_mod"),
        (lambda mark: Call(Named("subprocess", "run"), (["touch", mark],)), "subprocess.run"),
        (lambda mark: Call(Named("os\x1b[31m", "system"), ()), None),
    ],
)
def test_what_could_run_is_refused_and_does_not_run(attack, named, place, read, tmp_path):
    mark = str(tmp_path / "mark")
    content = {"state_dict": {"w": tensor(Storage(ROW))}}
    (content if place == "elsewhere" else content["state_dict"])["x"] = attack(mark)
    if named is None and place == "elsewhere":  # a module that does not exist is not looked for
        assert read(content).unread == ["os\\x1b[31m.system"]
    else:
        with pytest.raises(UserError, match=named and f"names {named}") as error:
            read(content)
        assert str(error.value).isprintable()
    assert not pathlib.Path(mark).exists()


def test_calls_of_unknown_objects_have_no_effect(read, tmp_path, monkeypatch):
    """getattr of an unknown class, and what is made with it, call nothing; the module of the class is not imported."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "logs.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    bound = Call(GETATTR, (Named("package.logs", "Log"), "mean"))
    chain = Call(Call(GETATTR, (bound, "__globals__")), ("x",), {"__class__": bound})
    found = read({"state_dict": {"w": tensor(Storage(ROW))}, "x": chain})
    assert_equal(found.arrays, {"w": ROW})
    assert found.unread == ["builtins.getattr", "package.logs.Log"]


@pytest.mark.parametrize(
    "offset, shape, strides",
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (24, (1,), (1,)),
        (0, (5, 5), (5, 1)),
        (0, (2,), (24,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2**62, 4), (2**62, 1)),
        (0, (2, 2), (1,)),
        (0, (1,) * 33, (1,) * 33),
        (0, (2.0,), (1,)),
        (True, (2,), (1,)),
    ],
)
def test_views_beyond_their_storage(offset, shape, strides, read):
    with pytest.raises(UserError, match="refused, because a"):
        read({"w": tensor(Storage(ROW), offset, shape, strides)})


def test_views_that_would_take_too_much_memory(read):
    with pytest.raises(UserError, match=f"weights have more than {LARGEST} bytes"):
        read({"w": tensor(Storage(ROW), 0, (2**40,), (0,))})
    with pytest.raises(UserError, match=f"weights have more than {LARGEST} bytes"):
        read({str(index): tensor(Storage(ROW), 0, (2**20,), (0,)) for index in range(257)})


def doubled(depth, make):
    value = make("end", "end")
    for _ in range(depth):
        value = make(value, value)
    return value


def test_small_files_that_would_take_for_ever(read):
    """Lists that contain one list twice, and so on, have 2 ** depth parts; to hash such tuples takes as long."""
    weights, tuples = {"w": tensor(Storage(ROW))}, doubled(90, lambda *two: two)
    with pytest.raises(UserError, match="too many parts"):
        read({"state_dict": weights, "meta": {"x": doubled(90, lambda *two: list(two))}})
    with pytest.raises(UserError, match="a key of type tuple"):
        read(Call(Named("collections", "OrderedDict"), ([[tuples, 1]],)))
    with pytest.raises(UserError, match="a key of type tuple"):
        read(Call(Named("collections", "OrderedDict"), ([[(tuples, 1), 1]],)))
    itself = {"epoch": 1}
    itself["me"] = itself
    assert read({"state_dict": weights, "meta": itself}).meta["me"]["me"]["epoch"] == 1


@pytest.mark.parametrize(
    "storage",
    [
        Storage(ROW, count=25),
        Storage(ROW, count=23),
        Storage(ROW, class_="DoubleStorage"),
        Storage(ROW, class_="HalfStorage"),
        Storage(ROW, count=2**62),
        Storage(ROW, count=-1),
    ],
)
def test_storages_of_another_size(storage, read):
    with pytest.raises(UserError, match="storage 0 (has|reaches)|after its last storage|a size, stride or offset is"):
        read({"w": tensor(storage, 0, (2,), (1,))})


def test_one_storage_described_in_two_ways(read):
    with pytest.raises(UserError, match="describes its storage 0 in two ways"):
        read({"w": tensor(Storage(ROW)), "v": tensor(Storage(ROW, class_="IntStorage"))})


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


MEMBERS = torch_files.members({"w": tensor(Storage(ROW))})
WHOLE = torch_files.zipped(MEMBERS)


def without(name):
    return torch_files.zipped({key: value for key, value in MEMBERS.items() if key != f"archive/{name}"})


def lying(size):
    """The directory says that the storage has `size` bytes, though 96 are there."""
    place = WHOLE.rindex(b"archive/data/0")
    return WHOLE[: place - 26] + size.to_bytes(4, "little") * 2 + WHOLE[place - 18 :]


@pytest.mark.parametrize(
    "content, reason",
    [
        (WHOLE[:-30], "broken archive"),
        (WHOLE[:200] + WHOLE[260:], "no readable file of PyTorch|broken archive"),
        (WHOLE.replace(ROW[3:9].tobytes(), ROW[9:3:-1].tobytes()), "Bad CRC-32"),
        (lying(48), "has 48 bytes, not 96"),
        (lying(2**31), "unpack to more than"),
        (without("data/0"), "storage 0 is missing"),
        (torch_files.zipped([*MEMBERS.items(), ("archive/data/0", b"\1" * 96)]), "two members archive/data/0"),
        (torch_files.zipped({**MEMBERS, "other/data.pkl": b""}), "2 folders with a data.pkl"),
        (torch_files.zipped({"data.pkl": MEMBERS["archive/data.pkl"]}), "0 folders with a data.pkl"),
        (torch_files.zipped({**MEMBERS, "archive/constants.pkl": b""}), "program of TorchScript"),
        (torch_files.zipped({**MEMBERS, "archive/byteorder": b"middle"}), "byteorder is b'middle'"),
        (
            torch_files.zipped([*MEMBERS.items(), (link("archive/data/1"), "/etc/passwd")]),
            "archive/data/1 .* is a link",
        ),
        (torch_files.zipped({**MEMBERS, "archive/data.pkl": b"\x80\x02}"}), "no readable file of PyTorch"),
        (torch_files.zipped({**MEMBERS, "archive/data.pkl": b""}), "no readable file of PyTorch"),
        (torch_files.zipped(torch_files.members({"w": tensor(Storage(ROW, "../data.pkl"))})), "2 folders with"),
    ],
)
def test_broken_archives(content, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", LARGEST)
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        files.read(path)
    assert str(error.value).startswith((f"{path}", f"weights {path}")) and str(error.value).isprintable()


def test_a_key_that_leaves_the_archive_finds_nothing(tmp_path):
    members = torch_files.members({"w": tensor(Storage(ROW, "../../../etc/passwd"))})
    members = {name: content for name, content in members.items() if "passwd" not in name}
    (tmp_path / "x.pth").write_bytes(torch_files.zipped(members))
    with pytest.raises(UserError, match=r"storage \.\./\.\./\.\./etc/passwd is missing"):
        pth.read(tmp_path / "x.pth", LARGEST)


CONTENT = {"w": tensor(Storage(ROW))}
OLD = torch_files.old(CONTENT)


@pytest.mark.parametrize(
    "content, reason",
    [
        (OLD[:-1], "reaches beyond the end of the file"),
        (OLD[:-100], "reaches beyond|no readable"),
        (OLD[:60], "no readable file of PyTorch"),
        (torch_files.old(CONTENT, protocol=1000), "its protocol is 1000; known is 1001"),
        (torch_files.old(CONTENT, little_endian=False), "a big-endian machine wrote it"),
        (torch_files.old(CONTENT, keys=["0", "1"]), "storage 1 is listed twice or never used"),
        (torch_files.old(CONTENT, keys=["0", "0"]), "storage 0 is listed twice or never used"),
        (torch_files.old(CONTENT, keys=[]), "storage 0 is missing"),
        (OLD[:-104] + (2**61).to_bytes(8, "little") + OLD[-96:], "reaches beyond the end of the file"),
        (OLD[:15] + b"X\xff\xff\xff\xff", "no readable file of PyTorch"),
    ],
)
def test_broken_files_of_the_old_format(content, reason, tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        files.read(path)
    assert str(error.value).startswith(str(path)) and str(error.value).isprintable()


def test_storages_that_are_parts_of_others(tmp_path):
    """As PyTorch before 0.4 wrote them; tensors count from the beginning of the part."""
    path = tmp_path / "x.pth"
    path.write_bytes(torch_files.old({"w": tensor(Storage(ROW, part=("view", 4, 8)), 2, (3,))}))
    assert_equal(pth.read(path, LARGEST).arrays, {"w": ROW[6:9]})
    for part, shape in ((("view", 4, 8), (7,)), (("view", 20, 8), (3,)), (("view", -4, 8), (3,))):
        path.write_bytes(torch_files.old({"w": tensor(Storage(ROW, part=part), 2, shape)}))
        with pytest.raises(UserError, match="refused, because a"):
            pth.read(path, LARGEST)


@pytest.mark.parametrize("name", ["zip", "old"])
def test_any_damage_is_one_line_or_harmless(name, tmp_path):
    """Bytes of a file that PyTorch wrote are changed, left out or cut off at random."""
    random = np.random.default_rng(1)
    whole, path = (FIXTURES / f"{name}.pth").read_bytes(), tmp_path / "x.pth"
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            content[place] = random.integers(256)
        cut = random.integers(len(content)) if random.random() < 0.3 else len(content)
        path.write_bytes(content[:cut])
        try:
            files.read(path)
        except UserError as error:
            refused += 1
            assert str(error).isprintable()
    assert refused > 100

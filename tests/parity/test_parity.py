"""Compares our detectors and ops with the reference tensors, and tests the program that does so."""

import json
import pathlib

import numpy as np
import pytest

from tests.parity import check, reference

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "parity"
FILES = sorted(FIXTURES.glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_matches_the_reference(path):
    missed = [row for row in check.compare(path) if not row.holds]
    assert not missed


def test_program_fails_where_a_number_is_off(tmp_path, capsys):
    arrays = reference.read(FIXTURES / "ops.npz")
    arrays["nms/keep_iou0.5"] = arrays["nms/keep_iou0.5"][::-1]
    np.savez(tmp_path / "ops.npz", **arrays)
    assert check.main([str(tmp_path / "ops.npz")]) == 1
    assert "MISS nms/keep_iou0.5" in capsys.readouterr().out


def test_program_names_what_it_cannot_compare(tmp_path, capsys):
    arrays = reference.read(FIXTURES / "retinanet.npz")
    options = json.loads(str(arrays["model_config"]))
    options["backbone"]["novel"] = 3
    unknown = {"model_config": np.array(json.dumps(options))}
    files = {
        "unknown.npz": "model_config.backbone.novel = 3",
        "incomplete.npz": "the file has no meta;",
        "foreign.npz": "the file has no roi_align/features_nchw;",
        "text.npz": "no npz file",
        "empty.npz": "no npz file",
        "absent.npz": "No such file",
    }
    np.savez(tmp_path / "unknown.npz", **{**arrays, **unknown})
    np.savez(tmp_path / "incomplete.npz", **unknown)
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").touch()
    paths = [str(tmp_path / name) for name in files]
    assert check.main(paths) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1:2] == paths
    for line, message in zip(lines[1:-1:2], files.values()):
        assert line.startswith("  cannot be compared: ") and message in line
    assert lines[-1] == "6 of the files could not be compared"


def test_program_asks_for_files(capsys):
    with pytest.raises(SystemExit) as stopped:
        check.main([])
    assert stopped.value.code == 2 and "required: FILE.npz" in capsys.readouterr().err

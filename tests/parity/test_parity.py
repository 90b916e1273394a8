"""Our detectors and ops against the reference tensors."""

import pathlib

import pytest

from tests.parity import check

FILES = sorted((pathlib.Path(__file__).parents[1] / "fixtures" / "parity").glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_matches_the_reference(path):
    missed = [row for row in check.compare(path) if not row.holds]
    assert not missed


def test_program_fails_where_a_number_is_off(tmp_path, capsys):
    import numpy as np

    with np.load(FILES[0].parent / "ops.npz") as file:
        arrays = {key: file[key] for key in file.files}
    arrays["nms/keep_iou0.5"] = arrays["nms/keep_iou0.5"][::-1]
    np.savez(tmp_path / "ops.npz", **arrays)
    assert check.main([str(tmp_path / "ops.npz")]) == 1
    assert "MISS nms/keep_iou0.5" in capsys.readouterr().out

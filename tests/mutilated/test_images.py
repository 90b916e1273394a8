"""A few damaged images per run of the tests; `make test-mutilated` takes 1,000."""

import sys

import pytest

from tests.mutilated import images


def test_damaged_images_are_kept_or_refused_by_name(tmp_path):
    outcomes = images.treat(images.mutilated(20, seed=7), tmp_path, max_megapixels=4)
    assert outcomes.faults == []
    read, refused = (outcomes.counts["predict", outcome] for outcome in ("read", "refused"))
    assert read + refused == 20 and read and refused
    assert "0 faults" in outcomes.table() and "predict  refused" in outcomes.table()


def test_file_i_is_the_same_whatever_the_count():
    files = list(images.mutilated(12, seed=3))
    assert list(images.mutilated(4, seed=3, first=5)) == files[5:9]
    assert len({data for _, data in files}) == 12 and list(images.mutilated(12, seed=4)) != files


def test_a_stored_image_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
    """The program would see what it looks for: here nothing is checked with the reader's decoder."""
    from tests.mutilated import made_images

    monkeypatch.setattr("awsdet.data.coco.images.decoded", made_images.by_pillow)
    cut = made_images.every_kind()["png"][:-12]
    with pytest.raises(Exception, match="Invalid PNG"):
        images.treat([("cut.png", cut)], tmp_path, max_megapixels=4)


@pytest.mark.parametrize(("end", "words"), [("kill -SEGV $$", "exit code -11"), ("echo no >&2; exit 3", "exit code 3")])
def test_a_child_that_dies_is_a_fault(tmp_path, monkeypatch, end, words):
    program = tmp_path / "python"
    where = """for a; do case $a in --child=*) printf 7.png > "${a#*=}/now";; esac; done"""
    program.write_text(f"#!/bin/sh\n{where}\n{end}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    (fault,) = images.run(3, seed=1).faults
    assert words in fault and "at 7.png" in fault and "files 0 to 2" in fault

import os

import pytest

from awsdet.runtime.overheard import overheard


def test_matching_lines_are_kept_and_others_follow(capfd):
    with overheard("^Corrupt") as lines:
        os.write(2, b"Corrupt data: 5 bytes\nsomething else\nCorrupt again\nno end")
    assert lines == ["Corrupt data: 5 bytes", "Corrupt again"]
    with overheard("nothing") as none:
        pass
    os.write(2, b"; after")
    assert none == [] and capfd.readouterr().err == "something else\nno end; after"


def test_stderr_comes_back_after_an_error(capfd):
    with pytest.raises(ValueError), overheard("x") as lines:
        os.write(2, b"x\ny\n")
        raise ValueError
    assert lines == ["x"] and capfd.readouterr().err == "y\n"


def test_a_process_without_stderr_hears_nothing():
    kept = os.dup(2)
    os.close(2)
    try:
        with overheard("x") as lines:
            pass
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert lines == []

"""Configs that import what lies beside them."""

import os
import sys

import pytest

from awsdet import config as configuration
from awsdet.runtime.errors import UserError

BASE = """
from awsdet.config import mask_rcnn

EPOCHS = {epochs}


def get_config():
    config = mask_rcnn()
    config.train.epochs = EPOCHS
    return config
"""
ABSOLUTE = "from base_config import get_config as base\n"
RELATIVE = "from .base_config import get_config as base\n"
MODULE = "import base_config\nbase = base_config.get_config\n"
FOLDER = "from configs.base_config import get_config as base\n"
FOLDER_MODULE = "from configs import base_config\nbase = base_config.get_config\n"
LATE = "def base():\n    import base_config\n    return base_config.get_config()\n"
DEEPER = "from parts.base_config import get_config as base\n"
MINE = "\n\ndef get_config():\n    config = base()\n    config.seed = 5\n    return config\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "a b [1]" / "configs"
    (made / "parts").mkdir(parents=True)
    (made / "base_config.py").write_text(BASE.format(epochs=3))
    (made / "parts" / "base_config.py").write_text(BASE.format(epochs=3))
    return made


@pytest.mark.parametrize("imports", [ABSOLUTE, RELATIVE, MODULE, FOLDER, FOLDER_MODULE, LATE, DEEPER])
@pytest.mark.parametrize("relative", [False, True])
def test_a_config_may_import_its_neighbours_and_leaves_nothing(folder, monkeypatch, imports, relative):
    (folder / "v1.2 mine.py").write_text(imports + MINE)
    monkeypatch.chdir(folder.parent)
    paths, before = list(sys.path), dict(sys.modules)
    path = "configs/v1.2 mine.py" if relative else folder / "v1.2 mine.py"
    for _ in range(2):
        config = configuration.load(path, ["train.pictures=1"])
        assert (config.seed, config.train.epochs, config.train.pictures) == (5, 3, 1)
    assert sys.path == paths and sys.modules == before


def test_neighbours_of_one_name_in_two_folders(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "base_config.py").write_text(BASE.format(epochs=7))
    for place in (folder, other):
        (place / "mine.py").write_text(ABSOLUTE + MINE)
    epochs = [configuration.load(place / "mine.py").train.epochs for place in (folder, other, folder)]
    assert epochs == [3, 7, 3]


def test_a_neighbour_that_has_changed_is_read_anew(folder):
    (folder / "mine.py").write_text(ABSOLUTE + MINE)
    assert configuration.load(folder / "mine.py").train.epochs == 3
    (folder / "base_config.py").write_text(BASE.format(epochs=11))
    os.utime(folder / "base_config.py", (0, 0))  # compiled code is known by time and size
    assert configuration.load(folder / "mine.py").train.epochs == 11


def test_modules_of_the_program_are_not_touched(folder, monkeypatch):
    """It may have a module of the same name, and configs may shadow nothing that is in use."""
    own = type(sys)("base_config")
    monkeypatch.setitem(sys.modules, "base_config", own)
    (folder / "json.py").write_text("raise RuntimeError('the wrong json')\n")
    (folder / "awsdet.py").write_text("raise RuntimeError('the wrong awsdet')\n")
    (folder / "mine.py").write_text("import json, awsdet\nassert json.dumps([]) == '[]'\n" + ABSOLUTE + MINE)
    assert configuration.load(folder / "mine.py").train.epochs == 3
    assert sys.modules["base_config"] is own


def test_parts_of_ones_own_stay_in_use(folder):
    """A class that a neighbour defines outlives its module."""
    (folder / "parts.py").write_text("import dataclasses\n\n@dataclasses.dataclass\nclass Part:\n    size: int = 2\n")
    text = "import awsdet\nfrom parts import Part\nawsdet._test_part = Part\n" + ABSOLUTE + MINE
    (folder / "mine.py").write_text(text)
    import awsdet

    configuration.load(folder / "mine.py")
    part = awsdet._test_part
    del awsdet._test_part
    assert part().size == 2 and part(3) == part(3)


@pytest.mark.parametrize(
    "base, words",
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' (base_config.py, line 1)"),
        ("def get_config(:\n", "SyntaxError"),
        ("\n1 / 0\n", "ZeroDivisionError: division by zero (base_config.py, line 2)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 (base_config.py, line 1)"),
    ],
)
def test_a_broken_neighbour_is_named(folder, base, words):
    (folder / "base_config.py").write_text(base)
    (folder / "mine.py").write_text(ABSOLUTE + MINE)
    before, paths = dict(sys.modules), list(sys.path)
    with pytest.raises(UserError) as error:
        configuration.load(folder / "mine.py")
    assert words in str(error.value) and str(folder / "mine.py") in str(error.value) and "\n" not in str(error.value)
    assert sys.modules == before and sys.path == paths

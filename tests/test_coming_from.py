"""docs/coming_from.md: its commands are accepted as they stand, and its links lead somewhere."""

import importlib
import os
import pathlib
import re
import shlex

import pytest
from absl import flags

from awsdet import config as config_module
from awsdet.cli import arguments, main

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming_from.md").read_text()
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ").splitlines()
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
HERE = [line for line in (*BLOCKS, *SPANS) if re.match(r"(awsdet|scripts/\w+\.sh) .*[=/]", line)]
HERE = [line for line in HERE if "CONFIG" not in line and "FILE" not in line]
COMMANDS = sorted({tuple(shlex.split(line)) for line in HERE})
SETTINGS = sorted({span for span in SPANS if re.fullmatch(r"(train|optimizer|model|data|schedule)\.[a-z_]+", span)})
OVERRIDES = sorted({span for span in SPANS if span.startswith("--config.") and "KEY" not in span})


def check(command):
    """Parses a command of awsdet, and what it starts; loads its config with its overrides."""
    program, name, *rest = command
    assert program == "awsdet" and name in main.COMMANDS
    module, values = importlib.import_module(f"awsdet.cli.{name}"), flags.FlagValues()
    module.define(values)
    rest, remainder = module.split(rest) if hasattr(module, "split") else (rest, None)
    overrides = arguments.parse(name, values, rest, getattr(module, "POSITIONAL", ()))
    if remainder:
        check(["awsdet", *remainder])
    if name == "train":
        config_module.load(values.config, overrides)
    if name == "config":
        assert pathlib.Path(values.input).is_file()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:60])
def test_command_is_accepted(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *rest = command
    if program == "awsdet":
        check(command)
        return
    assert os.access(program, os.X_OK)
    (config,) = (argument for argument in rest if argument.startswith("configs/"))
    overrides = [argument.removeprefix("--config.") for argument in rest if argument.startswith("--config.")]
    config_module.load(config, overrides)


@pytest.mark.parametrize("key", SETTINGS)
def test_setting_exists(key):
    config_module.setting(config_module.mask_rcnn(), key)


@pytest.mark.parametrize("override", OVERRIDES)
def test_override_is_accepted(override):
    config_module.load(ROOT / "configs/shapes_mask_rcnn.py", [override.removeprefix("--config.")])


def test_commands_and_settings_were_found():
    assert len(COMMANDS) >= 22 and len(SETTINGS) >= 10 and len(OVERRIDES) >= 7
    assert {command[0] for command in COMMANDS} >= {f"scripts/run_{name}.sh" for name in ("eval", "infer", "and_time")}


def test_files_that_the_page_names_exist():
    for name in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / name).is_file(), name
    for span in SPANS:
        if re.fullmatch(r"configs/\S*", span) and "ms_rcnn" not in span:
            assert list(ROOT.glob(span)), span

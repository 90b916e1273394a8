"""The command line as a user meets it: help, and one clear line with exit code 2 for each kind of mistake."""

import importlib
import os
import subprocess
import sys

import pytest
from absl import flags

from awsdet.cli import main as cli
from awsdet.cli.arguments import parse, split_overrides
from awsdet.runtime.errors import UserError


def mistake(capsys, *arguments):
    """Runs main(), which must end with code 2 and one line on stderr, nothing on stdout. Returns the line."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_overview_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"\n  {command} " in out


def test_no_command_shows_the_overview_and_is_a_mistake(capsys):
    assert cli.main([]) == 2
    assert "Usage: awsdet <command>" in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_each_command_describes_each_flag(capsys, command):
    assert cli.main([command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    heading, _, flags_text = captured.out.partition("\n\nFlags:\n")
    assert heading.startswith(f"awsdet {command}: ")
    for line in flags_text.splitlines():
        if line.startswith("  --"):
            assert len(line.split(maxsplit=1)) == 2, f"{line} has no description"
    assert "  --" in flags_text


@pytest.mark.parametrize(
    "command, flag_names",
    [
        ("convert", ["annotations", "images", "output", "split", "shards", "workers", "strict"]),
        ("inspect", ["records"]),
        ("shapes", ["output"]),
        ("train", ["config", "output", "resume", "config.KEY"]),
        ("evaluate", ["checkpoint", "records", "output"]),
        ("predict", ["checkpoint", "input", "output", "draw"]),
    ],
)
def test_documented_flags_exist(capsys, command, flag_names):
    cli.main([command, "--help"])
    names = {word for word in capsys.readouterr().out.replace("=", " ").split() if word.startswith("--")}
    assert {f"--{name}" for name in flag_names} <= names


def test_unknown_command_suggests_the_near_one(capsys):
    assert mistake(capsys, "evalute") == "awsdet: unknown command evalute; did you mean evaluate?"
    assert "the commands are convert, " in mistake(capsys, "qqq")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_unknown_flag_is_named(capsys, command):
    line = mistake(capsys, command, "--no_such_flag=1")
    assert line.startswith(f"awsdet {command}: ") and "no_such_flag" in line and f"awsdet {command} --help" in line


# Not of plot, which takes any number of runs.
@pytest.mark.parametrize("command", [command for command in cli.COMMANDS if command != "plot"])
def test_stray_argument_is_named(capsys, command):
    taken = ["x"] * len(getattr(importlib.import_module(f"awsdet.cli.{command}"), "POSITIONAL", ()))
    assert "unexpected argument stray" in mistake(capsys, command, *taken, "stray")


def test_unknown_flag_suggests_the_near_one(capsys):
    assert "output" in mistake(capsys, "convert", "--outptu=x").partition("Did you mean")[2]


def test_flag_value_of_a_wrong_type(capsys):
    assert "--shards=many" in mistake(capsys, "convert", "--shards=many")


def test_flag_without_a_value(capsys):
    assert "--annotations" in mistake(capsys, "convert", "--annotations")


@pytest.mark.parametrize("command", ["convert", "inspect", "shapes", "train", "evaluate", "predict"])
def test_missing_flags_are_named(capsys, command):
    """Each of these commands needs at least one flag, and says which."""
    assert " --" in mistake(capsys, command)


@pytest.mark.parametrize(
    "override, expected",
    [
        ("--config.optimizer.learning_rat=0.1", "did you mean optimizer.learning_rate?"),
        ("--config.train.epochs=many", "expected an int (the default is 12)"),
        ("--config.train.epochs", "has no value"),
        ("--config.train=3", "is a section"),
    ],
)
def test_wrong_override_of_a_training_config(capsys, tmp_path, override, expected):
    config = tmp_path / "config.py"
    config.write_text("from awsdet.config import mask_rcnn as get_config\n")
    line = mistake(capsys, "train", f"--config={config}", f"--output={tmp_path / 'run'}", override)
    assert expected in line
    assert not (tmp_path / "run").exists()


def test_missing_config_file(capsys, tmp_path):
    line = mistake(capsys, "train", f"--config={tmp_path / 'none.py'}", f"--output={tmp_path / 'run'}")
    assert f"{tmp_path / 'none.py'} does not exist" in line


@pytest.mark.parametrize(
    "arguments, kind",
    [
        (("convert", "--annotations={folder}", "--images={folder}", "--output={folder}/o", "--split=a"), "folder"),
        (("convert", "--annotations={file}", "--images={file}", "--output={folder}/o", "--split=a"), "file"),
        (("inspect", "--records={file}"), "file"),
        (("evaluate", "--checkpoint={file}", "--records={file}"), "file"),
        (("train", "--config={folder}", "--output={folder}/o"), "folder"),
    ],
)
def test_a_folder_is_told_from_a_file(capsys, tmp_path, arguments, kind):
    """Either exists, so to say that it does not would send the user looking for it."""
    names = {"folder": tmp_path, "file": tmp_path / "a.json"}
    names["file"].write_text("{}")
    line = mistake(capsys, *(argument.format(**names) for argument in arguments))
    assert f"{names[kind]} is a {kind}, not a " in line.replace("'", ""), line


def test_overrides_are_refused_where_a_checkpoint_has_its_config(capsys):
    assert "--config.train.epochs=3" in mistake(capsys, "evaluate", "--config.train.epochs=3")


@pytest.mark.parametrize("spelling", ["score-threshold", "score_threshold"])
def test_words_of_a_flag_may_be_joined_in_two_ways(spelling):
    values = flags.FlagValues()
    flags.DEFINE_float("score_threshold", 0, "", flag_values=values)
    flags.DEFINE_bool("dry-run", True, "", flag_values=values)
    assert parse("x", values, [f"--{spelling}=0.5", f"--{spelling}", "0.7", "--nodry_run"], ()) == []
    assert values.score_threshold == 0.7 and values["dry-run"].value is False
    with pytest.raises(UserError, match="score-treshold"):
        parse("x", values, ["--score-treshold=1"], ())


def test_overrides_may_be_written_with_a_space():
    arguments = ["--config.a.b=1", "--output=x", "--config.c", "2", "--flag", "value"]
    assert split_overrides(arguments) == (["a.b=1", "c=2"], ["--output=x", "--flag", "value"])
    # An equals sign inside the value belongs to the value.
    assert split_overrides(["--config.train.init_from=/a=b"]) == (["train.init_from=/a=b"], [])
    with pytest.raises(UserError, match="has no value"):
        split_overrides(["--config.a", "--output=x"])


def test_a_mistake_is_one_line_even_where_its_message_has_several(capsys, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        "from awsdet.runtime.errors import UserError\ndef get_config():\n    raise UserError('first\\nsecond')\n"
    )
    assert mistake(capsys, "train", f"--config={config}", f"--output={tmp_path / 'run'}").endswith("first second")


def test_installed_command_exits_with_the_code():
    """The console script itself: sys.exit gets main's return value, and stderr has nothing but the line."""
    script = os.path.join(os.path.dirname(sys.executable), "awsdet")
    done = subprocess.run([script, "convert", "--bogus=1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and "bogus" in done.stderr


def test_overview_loads_no_tensorflow():
    source = "import sys; from awsdet.cli.main import main; main(['--help']); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("given, kept", [("", "4294967296"), ("7", "7")])
def test_train_lets_cuda_keep_what_it_compiles(capsys, monkeypatch, tmp_path, given, kept):
    """Unless the user has set the limit."""
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", given)
    if not given:
        monkeypatch.delenv("CUDA_CACHE_MAXSIZE")
    config = tmp_path / "config.py"
    config.write_text("from awsdet import config\n\n\ndef get_config():\n    return config.mask_rcnn()\n")
    line = mistake(capsys, "train", f"--config={config}", f"--output={tmp_path / 'run'}", "--check")
    assert "would keep layers" in line or "train_records is empty" in line
    assert os.environ["CUDA_CACHE_MAXSIZE"] == kept

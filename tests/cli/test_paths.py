"""Paths on the command line and in configs: "~", addresses, and every flag that names one."""

import importlib

import pytest
from absl import flags

from awsdet import config as configuration
from awsdet.cli import main as cli
from awsdet.cli.arguments import parse
from awsdet.data.records.read import read_manifest
from awsdet.runtime.errors import UserError
from awsdet.weights.cache import Cache

FLAGS = {
    "convert": {"annotations", "images", "dataset", "classes", "output"},
    "download": {"folder"},
    "inspect": {"records", "draw", "config"},
    "shapes": {"output"},
    "train": {"config", "output"},
    "evaluate": {"checkpoint", "results", "records", "output"},
    "analyse": {"checkpoint", "results", "records", "output", "annotations"},
    "plot": {"run", "output"},
    "predict": {"checkpoint", "input", "output", "draw"},
    "export": {"checkpoint", "output", "records", "images"},
    "serve": {"model"},
    "replay": {"step"},
    "config": {"input", "output"},
    "weights": {"input", "output", "config"},
    "selftest": {"json"},
    "doctor": {"config", "output"},
    "launch": {"ssh_identity", "hosts_from"},
    "sagemaker": {"config", "to"},
}
CASES = [(command, flag) for command, names in FLAGS.items() for flag in sorted(names)]


def values_of(command, *arguments):
    module, values = importlib.import_module(f"awsdet.cli.{command}"), flags.FlagValues()
    module.define(values)
    parse(command, values, arguments, getattr(module, "POSITIONAL", ()))
    return values


@pytest.mark.parametrize("command, flag", CASES)
def test_every_path_flag_knows_the_home_folder_and_refuses_addresses(monkeypatch, command, flag):
    monkeypatch.setenv("HOME", "/home/me")
    several = flag in ("run", "images") and command in ("plot", "export")  # may be given more than once
    assert values_of(command, f"--{flag}=~/runs [1]")[flag].value in ("/home/me/runs [1]", ["/home/me/runs [1]"])
    assert values_of(command, f"--{flag}", "-x").__getattr__(flag) == (["-x"] if several else "-x")
    spelled = flag.replace("_", "-")
    with pytest.raises(UserError, match=f"^--{spelled}=s3://bucket/x is an address"):
        values_of(command, f"--{spelled}=s3://bucket/x")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_no_flag_that_reads_like_a_path_is_left_out(command):
    values = values_of(command)
    for flag in set(values) - FLAGS.get(command, set()):
        words = values[flag].help
        like = any(word in words for word in ("folder", "file to", "JSON file", "config file", "private key"))
        assert not like or "s3://" in words or values[flag].flag_type() == "bool", words


def test_a_path_without_its_flag_is_one_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = values_of("weights", "~/in.pth", "~/out.npz")
    assert (values.input, values.output) == ("/home/me/in.pth", "/home/me/out.npz")
    with pytest.raises(UserError, match="^--input=https://host/r50.pth is an address.*a name of awsdet weights --list"):
        values_of("weights", "https://host/r50.pth")


@pytest.mark.parametrize("key", ["data.train_records", "data.eval_records", "train.init_from"])
def test_every_path_setting_too(tmp_path, monkeypatch, key):
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "config [1].py"
    file.write_text("from awsdet.config import mask_rcnn as get_config\n")
    config = configuration.load(file, [f"{key}=~/x"])
    assert config[key.split(".")[0]][key.split(".")[1]] == "/home/me/x"
    for address in ("gs://bucket/x", "https://host/x.pth"):
        with pytest.raises(UserError, match=f"^--config.{key}={address} is an address") as error:
            configuration.load(file, [f"{key}={address}"])
        assert ("awsdet weights --get" in str(error.value)) == (key == "train.init_from")


def test_a_launch_refuses_them_before_it_looks_at_hosts(capsys):
    arguments = ["launch", "h1:2,h2:2", "--check", "train", "--config=c.py", "--output=s3://bucket/run"]
    assert cli.main(arguments) == 2
    assert "--output=s3://bucket/run is an address" in capsys.readouterr().err


def test_a_split_is_no_path(tmp_path):
    with pytest.raises(UserError, match="'../val' has a slash; it is a name"):
        read_manifest(tmp_path, "../val")


def test_the_cache_of_weights(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("AWSDET_WEIGHTS", "~/w [1]")
    assert str(Cache.from_environment().folder) == "/home/me/w [1]"
    monkeypatch.setenv("AWSDET_WEIGHTS", "s3://bucket/w")
    with pytest.raises(UserError, match="^AWSDET_WEIGHTS=s3://bucket/w is an address"):
        Cache.from_environment()

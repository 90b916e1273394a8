"""sagemaker/README.md: its commands are accepted as they stand, and its links and flags exist."""

import json
import re
import shlex

import pytest
from absl import flags

from awsdet.cli import main, sagemaker
from tests.sagemaker.aws import ROOT

README = ROOT / "sagemaker" / "README.md"
PLACEHOLDERS = {"BUCKET": "bucket", "ACCOUNT": "111122223333", "REGION": "us-east-1", "NAME": "Training"}


def launches():
    """The whole commands `awsdet sagemaker launch …` of both READMEs, with names in place of the placeholders."""
    found = []
    for path in (README, ROOT / "README.md"):
        for block in re.findall(r"```\n(.*?)```", path.read_text(), re.DOTALL):
            for command in block.replace("\\\n", " ").splitlines():
                if command.startswith("awsdet sagemaker launch") and "…" not in command:
                    found.append(re.sub("|".join(PLACEHOLDERS), lambda match: PLACEHOLDERS[match[0]], command))
    return found


def test_there_are_commands():
    assert len(launches()) == 3


@pytest.mark.parametrize("command", launches())
def test_commands_make_valid_requests(capsys, monkeypatch, command):
    monkeypatch.chdir(ROOT)
    assert main.main([*shlex.split(command)[1:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["RoleArn"] == "arn:aws:iam::111122223333:role/Training"


def test_flags_exist():
    values = flags.FlagValues()
    sagemaker.define(values)
    named = set(re.findall(r"`--([a-z-]+)", README.read_text())) - {"help"}
    assert len(named) > 10
    assert {name.removeprefix("no") if name == "nowait" else name for name in named} - {"config"} <= set(values)


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README.read_text()) if not link.startswith("https://")]
    assert links and all((README.parent / link.partition("#")[0]).exists() for link in links)

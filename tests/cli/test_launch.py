"""`awsdet launch`: its arguments and the user's mistakes. tests/launch and tests/cluster run jobs."""

import sys

import pytest

from awsdet.cli import launch, main
from awsdet.launch.engines import Plan
from awsdet.launch.hosts import Host
from awsdet.launch.remote import Ssh


def said(capsys, *arguments):
    """(exit code, what was said on stderr)."""
    code = main.main(["launch", *arguments])
    return code, capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "the command is missing"),
        (["h1:2"], "the command is missing"),
        (["train"], "the hosts are missing"),
        (["h1", "train"], "h1 has no number of processes"),
        (["h1:2", "h2:2", "train"], "unexpected argument h2:2"),
        (
            ["h1:2", "h2:2", "predict"],
            "unexpected argument h2:2: launch starts train, evaluate, selftest; separate hosts by commas",
        ),
        (["--hosts=h1:2", "h2:2", "train"], "hosts is given twice: h1:2 and h2:2"),
        (["--noelastic=1", "h1:2", "train"], "does not take an argument"),
        (["--lost-seconds=nan", "h1:2", "train"], "--lost_seconds=nan: it is not number >= 5"),
        (["--ssh-identity=/nowhere", "h1:2", "train"], "there is no such file"),
        (["--ssh-port=70000", "h1:2", "train"], "ports end at 65535"),
        (["--elastic", "localhost:2", "train", "--processes=2"], "contradicts --elastic"),
        (["--engin=mpi", "h1:2", "train"], "engin"),
        (["--engine=tcp", "h1:2", "train"], "tcp"),
        (["--lost-seconds=1", "h1:2", "train"], "lost_seconds"),
        (["no-such-host.invalid:2", "train"], "host no-such-host.invalid has no address"),
        (["--interface=nope0", "h1:2", "train"], "no network interface nope0"),
        (["--hosts-from=x", "train"], "--hosts-from belongs to an elastic job"),
        (["--wait-seconds=9", "localhost:2", "train"], "--wait-seconds belongs to an elastic job"),
        (["--env=NOT_SET_ANYWHERE", "localhost:2", "train"], "there is no such environment variable"),
        (["--env=KEY=VALUE", "localhost:2", "train"], "export NAME=VALUE"),
        (["--ssh-identity=/my keys/id", "localhost:2", "train"], "cannot take a path with spaces"),
        (["localhost:2", "train", "--processes=4"], "--processes=4, but the hosts have 2"),
        (["--elastic", "--hosts-from=x", "h1:2", "train"], "both HOSTS and --hosts-from"),
        (["--elastic", "--min=4", "--max=2", "localhost:2", "train"], "--min=4 is more than --max=2"),
        (["--elastic", "--min=4", "localhost:2", "train"], "the hosts have only 2 processes"),
        (["--elastic", "--engine=mpi", "localhost:2", "train"], "an elastic job needs --engine=gloo"),
        (["--min=2", "localhost:2", "train"], "--min belongs to an elastic job"),
        (["--elastic", "localhost:2", "evaluate"], "evaluate cannot go on with other processes, only train can; leave"),
        (["--elastic", "--hosts-from=x", "selftest"], "selftest cannot go on with other processes"),
        (["localhost:2", "train", "--config.seed=1", "--config.seed=1"], "--config.seed is given twice: 1 and 1"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, says):
    code, err = said(capsys, *arguments)
    assert code == 2 and says in err and "\n" not in err


def test_flags_of_the_command_are_not_the_launchers():
    own = ["--engine=gloo", "h1:2"]
    command = ["train", "--config=x", "evaluate", "--help"]
    assert launch.split([*own, *command]) == (own, command)


def test_mistake_in_the_config_is_found_before_anything_starts(capfd, tmp_path):
    code, err = said(capfd, "localhost:2", "train", f"--config={tmp_path}/nowhere.py", f"--output={tmp_path}/run")
    assert code == 2 and err.count("\n") == 0 and "nowhere.py" in err


@pytest.mark.parametrize(
    "command, says",
    [
        (["train"], "awsdet train: --config is missing"),
        (["evaluate", "--records=x"], "awsdet evaluate: --checkpoint is missing"),
        (["evaluate", "--checkpoint=x"], "awsdet evaluate: --records is missing"),
        (["evaluate", "--checkpoint=nowhere", "--records=x"], "awsdet evaluate: checkpoint nowhere does not exist"),
        (["selftest", "--json=/proc/version/o.json"], "awsdet selftest: --json=/proc/version/o.json cannot be written"),
    ],
)
def test_check_finds_what_would_end_the_command(capfd, tmp_path, monkeypatch, command, says):
    monkeypatch.chdir(tmp_path)
    code, err = said(capfd, "--check", "localhost:1", *command)
    assert code == 2 and says in err.splitlines()[-1]


def test_check_of_a_command_that_would_run(capfd, tmp_path):
    assert main.main(["launch", "--check", "localhost:2", "selftest", f"--json={tmp_path}/new/o.json"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "ready for 2 process(es) on 1 host(s)"
    assert list(tmp_path.iterdir()) == []


def test_check_passes_on_which_weights_would_be_fetched(capfd):
    """The program of rank 0 stands in for `awsdet train --check`, whose lines tests/training compares."""
    program = "print('weights made will be fetched from http://x, 1.0 MB, into /y'); print('c.py: ready')"
    plan = Plan("gloo", [Host("localhost", 1)], [sys.executable, "-c", program], "127.0.0.1", Ssh())
    assert launch._check_command(plan) == 0
    said = capfd.readouterr().out
    assert said == "awsdet launch: weights made will be fetched from http://x, 1.0 MB, into /y\n"


def test_help_of_the_command(capsys):
    assert main.main(["launch", "h1:2", "train", "--help"]) == 0
    assert capsys.readouterr().out.startswith("awsdet train:")

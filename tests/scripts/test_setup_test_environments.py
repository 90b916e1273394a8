"""scripts/setup_test_environments.sh: what it refuses, and that it does not take half an environment for a whole one.

Nothing is installed: pip is replaced by a program that notes how it was called.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FILES = pathlib.Path("tests", "environments")
# Stands for Python: answers what the script asks, and "installs" by noting its arguments. $PIP_FAILS: how often not.
PYTHON = f"""#!/bin/bash
case "$*" in
    *"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    *"-m pip"*)
        echo "$*" >>"$CALLS"
        [ "$(wc -l <"$CALLS")" -gt "${{PIP_FAILS:-0}}" ] ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def script(tmp_path):
    """script(*arguments, **environment) runs the script in a copy of the checkout. Returns its CompletedProcess."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup_test_environments.sh", checkout / "scripts")
    (checkout / FILES).mkdir(parents=True)
    for name in ("one", "two"):
        (checkout / FILES / f"{name}.txt").write_text(f"{name}==1.0\n")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sleep").symlink_to("/bin/true")

    def run(*arguments, **environment):
        return subprocess.run(
            [checkout / "scripts" / "setup_test_environments.sh", *arguments],
            env={
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "PYTHON": str(python),
                "AWSDET_CACHE": str(tmp_path / "cache"),
                "CALLS": str(tmp_path / "calls"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    run.checkout, run.calls = checkout, tmp_path / "calls"
    return run


def test_makes_both_once(script):
    assert script("--where", "one").stdout == ""
    assert script().returncode == 0
    calls = script.calls.read_text().splitlines()
    assert [call.rpartition(" ")[2] for call in calls] == [f"tests/environments/{name}.txt" for name in ("one", "two")]
    assert all("--require-hashes" in call for call in calls)
    again = script()
    assert (again.returncode, again.stdout) == (0, "")
    assert script.calls.read_text().splitlines() == calls
    places = [script("--where", name).stdout.strip() for name in ("one", "two")]
    assert len(set(places)) == 2 and all((pathlib.Path(place) / "bin" / "python").is_file() for place in places)


def test_other_packages_get_another_environment(script):
    script()
    before = script("--where", "two").stdout
    with open(script.checkout / FILES / "two.txt", "a") as file:
        file.write("# changed\n")
    assert script("--where", "two").stdout == ""
    script()
    assert script("--where", "two").stdout not in ("", before)


def test_tries_again_after_a_broken_download(script):
    assert script(PIP_FAILS="2").returncode == 0
    assert len(script.calls.read_text().splitlines()) == 4  # three for one, one for two


def test_half_an_environment_is_made_anew(script):
    done = script(PIP_FAILS="3")
    assert done.returncode == 1 and "pip could not install tests/environments/one.txt" in done.stderr
    assert script("--where", "one").stdout == ""
    assert script().returncode == 0 and script("--where", "one").stdout != ""


def test_makes_those_that_are_named(script):
    assert script("two").returncode == 0
    assert script("--where", "one").stdout == "" and script("--where", "two").stdout != ""


def test_wrong_arguments(script):
    for arguments, text in ((["--where"], "--where takes one name"), (["three"], "unknown environment 'three'")):
        done = script(*arguments)
        assert done.returncode == 1 and text in done.stderr and "there are: one two" in done.stderr


def test_no_fitting_python(script, tmp_path):
    for name in ("python3.11", "python3.10", "python3"):
        (tmp_path / "bin" / name).symlink_to("/bin/false")
    done = script(PYTHON="/bin/false")
    assert done.returncode == 1 and "no Python 3.10 or 3.11 found" in done.stderr

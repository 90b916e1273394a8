"""scripts/setup.sh on machines that lack something: it names it and the one command that fixes it, and stops.

Each test runs the real script in a copy of the checkout, with a PATH that holds only the programs it may find. None
gets as far as installing anything.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Of the programs that the script calls, those every Linux machine has.
BASICS = ("bash", "cat", "cut", "dirname", "flock", "grep", "head", "id", "mkdir", "rm", "sha256sum", "uname")


@pytest.fixture
def setup(tmp_path):
    """setup(programs, {name: script}, arguments, **environment) runs scripts/setup.sh: (exit code, its stderr)."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", checkout / "scripts")
    for path in (*ROOT.glob("requirements*"), ROOT / "setup.py", ROOT / "pyproject.toml"):
        shutil.copy(path, checkout)

    def run(programs, scripts=(), arguments=(), **environment):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in (*BASICS, *programs):
            (folder / name).symlink_to(shutil.which(name))
        for name, text in dict(scripts).items():
            (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
            (folder / name).chmod(0o755)
        done = subprocess.run(
            [checkout / "scripts" / "setup.sh", *arguments],
            env={"PATH": str(folder), "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not list(checkout.glob(".venv/lib"))
        return done.returncode, done.stderr

    run.checkout = checkout
    return run


def sudo():
    return "" if os.getuid() == 0 else "sudo "


@pytest.mark.parametrize("missing, present", [("g++", ()), ("make", ("g++",))])
def test_no_build_tools(setup, missing, present):
    code, said = setup(present, PYTHON=sys.executable)
    assert code == 1
    assert f"fix it with:  {sudo()}apt-get install {missing}\n" in said


def test_no_python(setup):
    code, said = setup(("g++", "make"))
    assert code == 1
    assert "no Python 3.10 or 3.11 found" in said and "apt-get install python3.11 python3.11-venv" in said


def test_python_of_another_version_is_passed_over(setup):
    """The version question is asked of each candidate; one that says no (or does not run) is not taken."""
    code, said = setup(("g++", "make"), {"python3.11": "exit 127", "python3": "exit 1"})
    assert code == 1
    assert "no Python 3.10 or 3.11 found" in said


def test_the_python_asked_for_does_not_fit(setup):
    code, said = setup(("g++", "make"), {"old": "exit 1"}, PYTHON="old")
    assert code == 1
    assert "PYTHON=old is neither Python 3.10 nor 3.11" in said


def test_python_without_venv(setup):
    """Debian splits it off. The stand-in answers everything but the import of ensurepip as the real one does."""
    script = f'[[ "$*" == *ensurepip* ]] && exit 1\nexec {sys.executable} "$@"'
    code, said = setup(("g++", "make"), {"python3.11": script})
    assert code == 1
    version = ".".join(map(str, sys.version_info[:2]))
    assert f"{sudo()}apt-get install python{version}-venv" in said


def test_an_environment_of_the_users_own_is_left_alone(setup):
    mine = setup.checkout / ".venv" / "mine"
    mine.mkdir(parents=True)
    code, said = setup(("g++", "make"), PYTHON=sys.executable)
    assert code == 1
    assert "was not made by this script" in said and "rm -rf .venv && make setup" in said
    assert mine.is_dir()


def test_mpi_without_open_mpi(setup):
    code, said = setup(("g++", "make"), {"mpirun": "echo mpirun 4.1"}, ["mpi"], PYTHON=sys.executable)
    assert code == 1
    assert f"fix it with:  {sudo()}apt-get install openmpi-bin libopenmpi-dev\n" in said


def test_unknown_argument(setup):
    code, said = setup(("g++", "make"), (), ["mpii"])
    assert code == 1 and "unknown argument mpii" in said


def test_wrong_variant(setup):
    code, said = setup(("g++", "make"), AWSDET_VARIANT="tpu")
    assert code == 1
    assert "AWSDET_VARIANT=tpu is neither cpu nor gpu" in said


@pytest.mark.parametrize("answer, lock", [("echo 'GPU 0: NVIDIA A10G (UUID: x)'", "gpu"), ("exit 9", "cpu")])
def test_variant_follows_nvidia_smi(setup, answer, lock):
    """The message before the first installation names the variant; ensurepip then stops the script."""
    scripts = {"nvidia-smi": answer, "python3.11": f'[[ "$*" == *ensurepip* ]] && exit 1\nexec {sys.executable} "$@"'}
    (setup.checkout / f"requirements-{'cpu' if lock == 'gpu' else 'gpu'}.lock").unlink()
    code, said = setup(("g++", "make"), scripts)
    assert code == 1
    assert "-venv" in said and "No such file" not in said


def test_lock_files_name_no_index_and_pin_everything():
    for variant, tensorflow in (("cpu", "tensorflow-cpu==2.15.1"), ("gpu", "tensorflow==2.15.1")):
        text = (ROOT / f"requirements-{variant}.lock").read_text()
        assert "//" not in text and "index" not in text.replace("-index-", "")
        assert f"\n{tensorflow} " in text
        packages = [line for line in text.splitlines() if line and line[0].isalnum()]
        assert all("==" in line for line in packages)
        assert text.count("--hash=sha256:") >= len(packages)

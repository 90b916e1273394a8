"""scripts/ci_packages.sh, without installing anything."""

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "ci_packages.sh"


def run(*arguments, **options):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, **options)


def test_list_names_what_the_tests_of_clusters_need():
    names = run("--list").stdout.split()
    assert {"openssh-server", "openssh-client", "iproute2", "openmpi-bin", "libopenmpi-dev", "slurm-wlm"} <= set(names)
    assert len(names) == len(set(names))


def test_unknown_argument():
    done = run("--lst")
    assert done.returncode == 2 and "unknown argument --lst" in done.stderr


@pytest.mark.parametrize("installed, calls", [(True, []), (False, ["-qq update", "-qq install"])])
def test_installs_only_what_is_missing(tmp_path, installed, calls):
    """dpkg-query, apt-get and id are stand-ins: this machine is not changed."""
    stand_ins = {
        "dpkg-query": "echo install ok installed"
        if installed
        else "[ ${@: -1} = procps ] && echo install ok installed",
        "apt-get": f"echo $* >>{tmp_path}/calls",
        "id": "echo 0",
    }
    for name, text in stand_ins.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = run(env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    seen = (tmp_path / "calls").read_text().splitlines() if calls else []
    assert [line[: len(call)] for line, call in zip(seen, calls)] == calls and len(seen) == len(calls)
    assert not any("procps" in line.split() for line in seen) and (installed or "openssh-server" in seen[1].split())

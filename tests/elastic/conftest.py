"""Runs jobs under horovodrun's elastic launcher, on "hosts" that are names of this machine."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.elastic.seen import Finished, read_records

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture
def elastic_job(tmp_path):
    """elastic_job(program, arguments, hosts, events, flags) -> Finished."""

    def run(program, arguments=(), hosts="localhost:1\n127.0.0.1:1\n", events=(), flags=(), timeout=560):
        folder = tmp_path / "seen"
        folder.mkdir(exist_ok=True)
        (tmp_path / "hosts").write_text(hosts)
        script = tmp_path / "discover.sh"
        script.write_text(f"#!/bin/sh\ncat {tmp_path / 'hosts'}\n")
        script.chmod(0o755)
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps({"folder": str(folder), "hosts": str(tmp_path / "hosts"), "events": list(events)}))
        launcher = pathlib.Path(sys.executable).with_name("horovodrun")
        wanted = ["--host-discovery-script", script, "--network-interfaces", "lo", *flags]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [launcher, "-np", str(hosts.count(":")), *map(str, wanted), sys.executable, program, plan, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        return Finished(done.returncode, done.stdout, read_records(folder))

    return run

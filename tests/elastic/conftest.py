"""Runs elastic jobs on "hosts" that are names of this machine, under `awsdet launch` or under horovodrun alone."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from tests.elastic.seen import Finished, print_times, read_records

REPOSITORY = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent


@pytest.fixture
def elastic_job(tmp_path):
    """elastic_job(program, arguments, hosts, events, flags) -> Finished.

    flags: of horovodrun, which then starts the job alone; or the options of launch_program.py, a dict.
    """

    def run(program, arguments=(), hosts="localhost:1\n127.0.0.1:1\n", events=(), flags=(), timeout=560):
        folder = tmp_path / "seen"
        folder.mkdir(exist_ok=True)
        (tmp_path / "hosts").write_text(hosts)
        script = tmp_path / "discover.sh"
        script.write_text(f"#!/bin/sh\ncat {tmp_path / 'hosts'}\n")
        script.chmod(0o755)
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps({"folder": str(folder), "hosts": str(tmp_path / "hosts"), "events": list(events)}))
        if isinstance(flags, dict):
            options = {"hosts": ",".join(hosts.split()), "script": str(script), **flags}
            launcher = [sys.executable, HERE / "launch_program.py", json.dumps(options)]
        else:
            horovodrun = pathlib.Path(sys.executable).with_name("horovodrun")
            launcher = [horovodrun, "-np", str(hosts.count(":")), "--host-discovery-script", script]
            launcher += ["--network-interfaces", "lo", *flags, sys.executable]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [*map(str, launcher), program, plan, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        finished = Finished(done.returncode, done.stdout, read_records(folder))
        print_times(finished, time.time())
        return finished

    return run

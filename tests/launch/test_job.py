"""Jobs of small programs, started by the real horovodrun on two "hosts" of this machine."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = """
import sys
from awsdet.cli.launch import show
from awsdet.launch.engines import Plan
from awsdet.launch.hosts import parse_hosts
from awsdet.launch.job import Job
from awsdet.launch.remote import Ssh

hosts, program, lost, stop, *saves = sys.argv[1:]
plan = Plan("gloo", parse_hosts(hosts), [sys.executable, program], "127.0.0.1", Ssh(), lost_seconds=float(lost))
sys.exit(Job(plan, show, stop_seconds=float(stop), advice="then try again", saves=not saves).run())
"""
RANK = "import os, signal, sys, time\nrank = int(os.environ['HOROVOD_RANK'])\n"


class Started:
    """A job in a process of its own. `folder` is its working folder, in which its ranks may write."""

    def __init__(self, folder, program, hosts="localhost:1,127.0.0.1:1", lost=10, stop=20, saves=True):
        self.folder, self.path = folder, folder / "program.py"
        self.path.write_text(RANK + textwrap.dedent(program))
        command = [
            sys.executable,
            "-c",
            LAUNCH,
            hosts,
            str(self.path),
            str(lost),
            str(stop),
            *([] if saves else ["no"]),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "AWSDET_SEEN": "yes", "MY_SECRET": "hidden"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=folder, env=environment)

    def wait_for(self, *names):
        """Waits until the ranks have written these files."""
        deadline = time.monotonic() + 60
        while not all((self.folder / name).exists() for name in names):
            assert self.process.poll() is None and time.monotonic() < deadline, self.process.communicate()
            time.sleep(0.05)

    def finish(self):
        """(exit code, stdout, lines of stderr); checks that no process of the job is left."""
        out, err = self.process.communicate(timeout=90)
        deadline = time.monotonic() + 10
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not self.left()
        return self.process.returncode, out, err.splitlines()

    def left(self):
        """The processes that run the program or a part of the launcher for it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.path) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def test_lines_are_tagged_and_the_environment_is_chosen(tmp_path):
    job = Started(
        tmp_path,
        """
        print("out", rank, os.environ["HOROVOD_SIZE"], os.environ["HOROVOD_GLOO_IFACE"], os.environ.get("MY_SECRET"))
        print("err", os.environ["AWSDET_SEEN"], "AWSDET_LAUNCH_TOKEN" in os.environ, file=sys.stderr)
        """,
    )
    code, out, err = job.finish()
    assert code == 0
    assert sorted(out.splitlines()) == ["[127.0.0.1:1] out 1 2 lo None", "[localhost:0] out 0 2 lo None"]
    assert sorted(err) == ["[127.0.0.1:1] err yes False", "[localhost:0] err yes False"]


def test_first_failure_is_named_with_its_last_lines(tmp_path):
    job = Started(
        tmp_path,
        """
        if rank == 1:
            print("the disk is full")
            sys.exit(1)
        time.sleep(600)
        """,
    )
    code, _, err = job.finish()
    assert code == 1
    assert err[-2:] == [
        "    the disk is full",
        "awsdet launch: rank 1 (127.0.0.1) failed first: exit code 1; all ranks have been ended; then try again",
    ]


def test_rank_that_stalls_is_named_and_not_the_one_that_found_it(tmp_path):
    job = Started(
        tmp_path,
        """
        from absl import logging
        from awsdet.runtime import stall
        if rank == 1:
            time.sleep(600)
        logging.error(stall._VERDICT, 1, "node2", "has been silent for 9 s: its process is frozen", 8, stall._ENDING)
        print("many\\nmore\\nlines\\n" * 9, file=sys.stderr)
        os._exit(1)
        """,
    )
    code, _, err = job.finish()
    assert code == 1
    assert err[-1] == (
        "awsdet launch: rank 1 (node2) has been silent for 9 s: its process is frozen; all ranks have been ended; "
        "then try again"
    )


def test_signal_that_ended_a_rank_is_named(tmp_path):
    job = Started(tmp_path, "os.kill(os.getpid(), signal.SIGKILL) if rank == 0 else time.sleep(600)")
    code, _, err = job.finish()
    assert code == 1 and "rank 0 (localhost) failed first: ended by signal 9, SIGKILL" in err[-1]


def test_mistake_of_the_user_is_code_2_and_said_once(tmp_path):
    job = Started(
        tmp_path,
        """
        while rank == 1 and not os.path.exists("said"):
            time.sleep(0.05)
        if rank == 0:
            print("wrong key", file=sys.stderr)
            open("said", "w").close()
        sys.exit(2)
        """,
    )
    code, _, err = job.finish()
    assert code == 2 and err == ["[localhost:0] wrong key"]


def test_code_2_without_a_word_is_named(tmp_path):
    code, _, err = Started(tmp_path, "sys.exit(2)", hosts="localhost:1").finish()
    assert code == 2 and err == [
        "awsdet launch: rank 0 (localhost) failed first: exit code 2; all ranks have been ended"
    ]


STOPPABLE = """
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    open(f"ready{rank}", "w").close()
    while not (told and SAVES):
        time.sleep(0.05)
    print("saved")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_the_ranks_save(tmp_path, number):
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "True"))
    job.wait_for("ready0", "ready1")
    job.process.send_signal(number)
    code, out, err = job.finish()
    assert code == 0 and sorted(out.splitlines()) == ["[127.0.0.1:1] saved", "[localhost:0] saved"]
    assert len(err) == 1 and "stopping" in err[0]


def test_ranks_that_print_without_a_pause_are_stopped_too(tmp_path):
    """Each line is an event, and there is always another one before the launcher has waited for it."""
    # No more lines than a busy machine can pass on: ranks have ended only when all that they have printed is shown.
    program = STOPPABLE.replace("SAVES", "True").replace("time.sleep(0.05)", 'print("step"); time.sleep(0.005)')
    job = Started(tmp_path, program, stop=100)
    # Read here, or the launcher would wait for its reader and not for the ranks.
    threading.Thread(target=lambda: [line for line in job.process.stdout], daemon=True).start()
    job.wait_for("ready0", "ready1")
    job.process.terminate()
    assert job.process.wait(120) == 0
    assert "stopping" in job.process.stderr.read()


def test_signal_to_every_process_at_once_lets_the_ranks_save(tmp_path):
    """As Slurm's scancel does. Saving takes longer than the five seconds after which horovodrun would kill."""
    job = Started(
        tmp_path, STOPPABLE.replace("SAVES", "True").replace('print("saved")', 'time.sleep(7); print("saved")')
    )
    job.wait_for("ready0", "ready1")
    family = [psutil.Process(job.process.pid), *psutil.Process(job.process.pid).children(recursive=True)]
    for process in family:
        process.terminate()
    code, out, _ = job.finish()
    assert code == 0 and sorted(out.splitlines()) == ["[127.0.0.1:1] saved", "[localhost:0] saved"]


def test_rank_that_a_stop_ends_before_it_could_save_has_not_failed(tmp_path):
    job = Started(tmp_path, 'open(f"ready{rank}", "w").close(); time.sleep(600)')
    job.wait_for("ready0", "ready1")
    job.process.terminate()
    code, _, err = job.finish()
    assert code == 0 and len(err) == 1 and "stopping" in err[0]


def test_stop_saves_though_nobody_reads_the_launcher_any_more(tmp_path):
    """As when the terminal of a launcher is gone: it gets a signal, and cannot write."""
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "True").replace('print("saved")', 'open(f"saved{rank}", "w")'))
    job.wait_for("ready0", "ready1")
    job.process.stdout.close()
    job.process.stderr.close()
    job.process.send_signal(signal.SIGHUP)
    assert job.process.wait(60) == 0
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


def test_a_stop_before_there_is_a_result_is_a_failure(tmp_path):
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "True"), saves=False)
    job.wait_for("ready0", "ready1")
    job.process.terminate()
    code, _, err = job.finish()
    assert code == 1 and err[-1] == "awsdet launch: stopped before there was a result" and "save" not in err[0]


def test_ranks_that_do_not_stop_are_killed(tmp_path):
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "False"), stop=2)
    job.wait_for("ready0", "ready1")
    job.process.terminate()
    code, _, err = job.finish()
    assert code == 1 and err[-1] == "awsdet launch: the ranks did not end within 2 s and were killed; then try again"


def test_second_signal_kills(tmp_path):
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "False"), stop=500)
    job.wait_for("ready0", "ready1")
    job.process.terminate()
    time.sleep(1)
    job.process.terminate()
    code, _, err = job.finish()
    assert code == 1 and any("second signal" in line for line in err)


def test_ranks_end_if_the_launcher_is_killed(tmp_path):
    job = Started(tmp_path, STOPPABLE.replace("SAVES", "False"))
    job.wait_for("ready0", "ready1")
    job.process.kill()
    code, _, _ = job.finish()
    assert code == -signal.SIGKILL


def test_host_that_falls_silent_is_named(tmp_path):
    """What a rank runs under is frozen, as on a machine that hangs: nothing ends, but nothing is heard either."""
    job = Started(tmp_path, 'open(f"ready{rank}", "w").write(str(os.getppid())); time.sleep(600)', lost=5)
    job.wait_for("ready0", "ready1")
    time.sleep(0.5)
    wrapper = int((tmp_path / "ready1").read_text())
    os.kill(wrapper, signal.SIGSTOP)
    try:
        _, err = job.process.communicate(timeout=90)
    finally:
        os.kill(wrapper, signal.SIGKILL)  # what a machine that hangs never gets to do by itself
    assert job.process.returncode == 1
    assert "rank 1 (127.0.0.1) failed first: nothing was heard from its machine for" in err.splitlines()[-1]
    deadline = time.monotonic() + 10
    while job.left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not job.left()


def test_child_processes_of_a_rank_end_too(tmp_path):
    job = Started(
        tmp_path,
        """
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", __file__])
        """,
        hosts="localhost:1",
    )
    assert job.finish()[0] == 0


def test_engine_that_cannot_start_is_one_line(tmp_path):
    code, _, err = Started(tmp_path, "", hosts="no-such-host.invalid:1").finish()
    assert code == 1 and len(err) == 1
    assert err[0].startswith("awsdet launch: no rank was started") and "no-such-host.invalid" in err[0]

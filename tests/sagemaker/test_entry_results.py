"""Metric lines, event files, and the reason of a failure."""

import json

import pytest

from awsdet.sagemaker import metrics
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_base  # isort: skip
import container_results  # isort: skip


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.delenv("AWSDET_TENSORBOARD", raising=False)
    paths = container_base.Paths(tmp_path)
    (paths.run / "tensorboard").mkdir(parents=True)
    return paths


def record(step, loss):
    return json.dumps({"step": step, "loss": loss}) + "\n"


def printed(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(metrics.TAG)]


def test_each_complete_line_is_printed_once(paths, capsys):
    reporter = container_results.Reporter(paths)
    reporter.report()
    file = paths.run / "metrics.jsonl"
    file.write_text(record(1, 2.5) + '{"step": 2, "lo')
    reporter.report()
    assert printed(capsys) == ["awsdet_metric step=1 loss=2.5;"]
    file.write_text(record(1, 2.5) + record(2, 1e-5))
    reporter.report()
    reporter.close()
    assert printed(capsys) == ["awsdet_metric step=2 loss=0.00001;"]


def test_lines_of_an_earlier_job_are_not_printed_again(paths, capsys):
    file = paths.run / "metrics.jsonl"
    file.write_text(record(1, 3.0) + record(2, 2.0) + record(3, 1.5))
    reporter = container_results.Reporter(paths)
    file.write_text(record(1, 3.0) + record(2, 2.0))  # a run that goes on at step 2 drops what came after it
    reporter.report()
    file.write_text(record(1, 3.0) + record(2, 2.0) + record(3, 1.25))
    reporter.report()
    assert printed(capsys) == ["awsdet_metric step=3 loss=1.25;"]


@pytest.mark.parametrize("wanted", ["", "folder", "1"])
def test_event_files_are_copied_if_someone_wants_them(paths, monkeypatch, wanted):
    if wanted == "folder":
        paths.tensorboard.mkdir(parents=True)
    elif wanted:
        monkeypatch.setenv("AWSDET_TENSORBOARD", wanted)
    reporter = container_results.Reporter(paths)
    (paths.run / "tensorboard" / "events.out.tfevents.1").write_bytes(b"one")
    reporter.close()
    (paths.run / "tensorboard" / "events.out.tfevents.1").write_bytes(b"one and two")
    reporter.close()
    copy = paths.tensorboard / "events.out.tfevents.1"
    assert copy.read_bytes() == b"one and two" if wanted else not copy.exists()


def test_event_files_that_cannot_be_copied_are_said_once(paths, monkeypatch, capsys):
    monkeypatch.setenv("AWSDET_TENSORBOARD", "1")
    paths.tensorboard.parent.mkdir(parents=True)
    paths.tensorboard.touch()  # a file where the folder should be
    reporter = container_results.Reporter(paths)
    (paths.run / "tensorboard" / "events.out.tfevents.1").write_bytes(b"one")
    (paths.run / "metrics.jsonl").write_text(record(1, 2.5))
    reporter.close()
    reporter.close()
    said = capsys.readouterr().out
    assert said.count("could not be copied") == 1 and "awsdet_metric step=1 loss=2.5;" in said
    paths.tensorboard.unlink()
    reporter.close()
    assert (paths.tensorboard / "events.out.tfevents.1").read_bytes() == b"one"


MISTAKE = [
    "[algo-1:0] 06:50:53 learning rate 0.04: the config gives 0.02",
    "[algo-1:0] awsdet train: data.batch_size is 0; it must be 1 or more",
]
CRASH = [
    "[algo-1:0] Traceback (most recent call last):",
    '[algo-1:0]   File "x.py", line 1, in <module>',
    "[algo-2:3] tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor",
    "awsdet launch: the last lines of rank 3 (algo-2):",
    "    tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor",
    "awsdet launch: rank 3 (algo-2) failed first: exit code 1; all ranks have been ended",
]


def test_a_mistake_is_told_in_its_own_line():
    assert container_results.explain(MISTAKE, 2) == "awsdet train: data.batch_size is 0; it must be 1 or more"


def test_a_crash_is_told_by_its_error_and_by_the_launcher():
    error, first = container_results.explain(CRASH, 1).splitlines()
    assert error.startswith("tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM")
    assert first.startswith("awsdet launch: rank 3 (algo-2) failed first")


def test_without_a_sign_the_last_lines_are_told():
    assert container_results.explain(["a", "b", "", "c", "d"], 1) == "b\nc\nd"
    assert container_results.explain([], 1) == "exit code 1, without a word"


def test_a_reason_fits_what_sagemaker_shows(paths):
    reason = container_results.explain([f"ValueError: {number} {'x' * 300}" for number in range(9)], 1)
    assert reason.startswith("ValueError: 0") and len(reason) < 1024
    container_base.write_failure(paths, "y" * 5000)
    assert len(paths.failure.read_text()) < 1024


def test_weights_need_a_checkpoint(paths):
    assert "there is no checkpoint" in container_results.leave_results(paths, whole=True, children=set())
    assert container_results.leave_results(paths, whole=False, children=set()) == ""

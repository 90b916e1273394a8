"""Runs whose evaluations are scored by another process: they end like runs that wait for each score."""

import functools
import os
import signal
from types import SimpleNamespace

import pytest
import tensorflow as tf

from awsdet import evaluation
from awsdet.evaluation.detections import pack
from awsdet.evaluation.score_files import Evaluated, ScoreFiles
from awsdet.evaluation.score_process import ScoreProcess
from awsdet.evaluation.scoring import Truth
from awsdet.inference import checkpoint
from awsdet.runtime.world import World
from awsdet.training import loop, outstanding
from awsdet.training.evaluating import scored_aside
from awsdet.training.run_folder import RunFolder
from awsdet.training.steps import Steps
from tests.evaluation.truth_detector import shape_records
from tests.training.test_checkpoint import model_and_optimizer
from tests.training.tiny_run import load_config, logged_lines

# Three epochs of two steps, evaluated at steps 2, 4 and 6; the last one is never scored aside.
SETTINGS = ("model.detector=faster_rcnn", "train.deterministic=true", "train.epochs=3", "data.batch_size=3")
SETTINGS += ("train.checkpoint_every_steps=1", "train.keep_last=1", "train.tensorboard=false", "train.pictures=0")


@pytest.fixture
def eager():
    """So few steps take less time than to trace them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def values(detector):
    return b"".join(variable.numpy().tobytes() for variable in detector.variables)


def train(config_file, run, aside, *changes, resume=False):
    config = load_config(config_file, *SETTINGS, f"train.score_aside_from={aside}", *changes)
    return loop.train(config, run, World(), resume=resume)


def evaluations(run):
    """The records of the evaluations, without what depends on the time."""
    return [{**line, "seconds": None} for line in logged_lines(run) if "box_ap" in line]


def at_step(monkeypatch, step, do):
    """Has `do()` called when the log line of a step has been written."""
    write = RunFolder.log

    def log(self, record):
        write(self, record)
        if record["step"] == step and "loss" in record:
            do()

    monkeypatch.setattr(RunFolder, "log", log)


def test_a_run_stopped_and_killed_while_a_score_is_outstanding_ends_as_one_that_waits(
    config_file, tmp_path, monkeypatch, log, eager
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    outcome = train(config_file, whole, 0)
    assert not (whole / "scoring").exists()

    with monkeypatch.context() as patch:  # SIGTERM at step 3; the score of step 2 does not come in time
        patch.setattr(outstanding, "ScoreProcess", functools.partial(ScoreProcess, child=("sleep", "100")))
        patch.setattr(loop, "_STOP_SECONDS", 0.2)
        at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(config_file, broken, 1) == loop.Outcome(0, None)
    assert "saved at step 3; go on with --resume, which first has the evaluation at step 2 scored" in log.text
    assert evaluations(broken) == []
    kept = [path.name for path in RunFolder(broken).checkpoints.all()]
    assert kept == ["step-00000002", "step-00000003"]  # the evaluated one beside the newest

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # a kill when the score has been entered, but not yet forgotten
        patch.setattr(outstanding.Outstanding, "taken", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config_file, broken, 1, resume=True)
    assert [line["step"] for line in evaluations(broken)] == [2]
    assert (broken / "scoring" / "detections.npz").exists()

    assert train(config_file, broken, 1, resume=True) == outcome
    assert evaluations(broken) == evaluations(whole) and len(evaluations(whole)) == 3
    assert (broken / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    best, wanted = (RunFolder(run).checkpoints.best() for run in (broken, whole))
    assert best.name == wanted.name and checkpoint.read_info(best)["metrics"] == checkpoint.read_info(wanted)["metrics"]
    assert not (broken / "scoring").exists()


def test_the_evaluated_checkpoint_meets_the_target_and_the_steps_since_are_undone(
    config_file, tmp_path, monkeypatch, log, eager
):
    """The AP is that of a learning detector."""
    real, drawn = ScoreProcess.result, []
    monkeypatch.setattr(ScoreProcess, "result", lambda self, seconds: {**real(self, seconds), "box_ap": 0.5})
    monkeypatch.setattr(outstanding.Outstanding, "arrived", lambda self: self._run.steps.step == 3)
    monkeypatch.setattr(evaluation, "draw_examples", lambda detector, *_: drawn.append(values(detector)))
    changes = ("train.box_ap_target=0.4", "train.keep_last=9", "train.pictures=1")
    outcome = train(config_file, tmp_path, 1, *changes)
    assert outcome.exit_code == 0 and outcome.metrics["box_ap"] == 0.5
    assert (
        "the target was met at step 2; what followed is undone: 1 step(s)" in log.text and "done: step 2 " in log.text
    )
    folder = RunFolder(tmp_path)
    assert [path.name for path in folder.checkpoints.all()] == ["step-00000001", "step-00000002"]
    assert folder.checkpoints.best() == folder.checkpoints.newest()
    assert checkpoint.read_info(folder.checkpoints.newest())["metrics"] == outcome.metrics
    assert [line["step"] for line in logged_lines(tmp_path)] == [1, 2, 2]
    assert drawn == [values(checkpoint.load(folder.checkpoints.newest())[0])]
    assert not (tmp_path / "scoring").exists()

    lines = (tmp_path / "metrics.jsonl").read_bytes()
    assert train(config_file, tmp_path, 1, *changes, resume=True) == outcome  # it has nothing left to do
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines


def test_where_nothing_can_be_written_rank_0_scores_itself(tmp_path, monkeypatch, log):
    (tmp_path / "file").touch()
    folder = SimpleNamespace(scoring=ScoreFiles(tmp_path / "file" / "scoring"))
    run = SimpleNamespace(world=World(), inputs=SimpleNamespace(folder=folder, evaluation=None))
    monkeypatch.setattr(evaluation, "truth_of", lambda manifest: Truth({}, False, {}))
    score = outstanding.Outstanding(run)
    assert not score.begin(pack([]), Evaluated(3, 1)) and score.evaluated is None
    assert "Not a directory" in log.text and "all ranks wait for rank 0 to do it" in log.text
    score.close()


@pytest.fixture
def run(tmp_path):
    """A run at step 3 that has a checkpoint of step 2, as far as Outstanding knows it."""
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.save(*model_and_optimizer(), {"step": 2, "metrics": None})
    inputs = SimpleNamespace(folder=folder, evaluation=shape_records(tmp_path))
    config = SimpleNamespace(train=SimpleNamespace(official_metric=False))
    return SimpleNamespace(inputs=inputs, config=config, steps=SimpleNamespace(step=3), world=World())


def test_a_rank_that_is_lost_takes_no_score_along(run, monkeypatch):
    """The ranks may lose one of them while they agree on the score that they take up."""
    monkeypatch.setattr(outstanding, "ScoreProcess", functools.partial(ScoreProcess, child=("sleep", "100")))
    run.inputs.folder.scoring.folder.mkdir()
    run.inputs.folder.scoring.write_detections(pack([]), Evaluated(2, 1))

    class Lost(World):
        def broadcast_object(self, item, root=0):
            raise RuntimeError("a rank is lost")

    ours = outstanding.Outstanding(SimpleNamespace(**{**vars(run), "world": Lost()}))
    with pytest.raises(RuntimeError, match="a rank is lost"):
        ours.resume()
    ours.close()
    again = outstanding.Outstanding(run)
    again.resume()
    assert again.evaluated == Evaluated(2, 1) and run.inputs.folder.checkpoints.held.name == "step-00000002"
    again.close()


def test_without_a_process_nothing_is_held(run, monkeypatch, log):
    monkeypatch.setattr(outstanding, "ScoreProcess", functools.partial(ScoreProcess, child=("/nowhere/python",)))
    assert not outstanding.Outstanding(run).begin(pack([]), Evaluated(2, 1))
    assert "no process can be had that scores" in log.text
    assert run.inputs.folder.checkpoints.held is None and not run.inputs.folder.scoring.folder.exists()


@pytest.mark.parametrize(
    "fewest, step, aside", [(5, 3, True), (1, 3, True), (6, 3, False), (0, 3, False), (5, 6, False)]
)
def test_which_evaluations_are_scored_aside(config_file, fewest, step, aside):
    """Those of enough images, but not the last one, during which nothing would go on."""
    train = load_config(config_file, f"train.score_aside_from={fewest}").train
    assert scored_aside(Steps(step, 3, 6), train, images=5) == aside

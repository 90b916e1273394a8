"""The MLPerf log: of a whole run, of one that is resumed, and of those that cannot have one."""

import time
from types import SimpleNamespace

import pytest

from awsdet import config as configuration
from awsdet import evaluation
from awsdet.inference import checkpoint
from awsdet.mlperf.checkers import Checkers
from awsdet.runtime import mllog
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training import loop, watch
from awsdet.training.mlperf_log import MlperfLog
from awsdet.training.pace import Pace
from awsdet.training.run_folder import RunFolder
from awsdet.training.schedule import build_schedule
from awsdet.training.settings import check_mlperf_log
from awsdet.training.steps import Steps
from tests.environments import place_of
from tests.training.tiny_run import load_config, logged_lines

TARGETS = ("train.box_ap_target=0.377", "train.mask_ap_target=0.339")
# The batch and the candidates are given as in configs/mlperf; each evaluation is scored by pycocotools too.
SETTINGS = (
    *TARGETS,
    *("data.global_batch_size=2", "data.batch_size=0", "model.rpn.post_nms_batch=1000"),
    *("schedule.decay_updates=4,5", "train.official_metric=true", "train.mlperf_platform=a machine"),
    *("train.pictures=0", "train.tensorboard=false", "train.epochs=5"),
)


def test_run_stops_at_the_evaluation_that_meets_the_target_and_its_log_says_so(config_file, tmp_path, monkeypatch, log):
    """The AP of the evaluations is replaced by that of a learning detector."""
    path, begun, faster = tmp_path / "result_0.txt", time.time() - 5, []
    answers = [{"box_ap": 0.0, "mask_ap": 0.01}, {"box_ap": 0.38, "mask_ap": 0.34}]
    monkeypatch.setattr(watch, "_ZEROS", 1)  # so that the run is watched with the log's numbers and these
    monkeypatch.setattr(watch, "_FAR", 1.0)
    real = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments: {**real(*arguments), **answers.pop(0)})
    monkeypatch.setattr(loop, "use_fast_convolutions", faster.append)
    mllog.append(path, "cache_clear", True)  # as scripts/run_and_time.sh does
    config = load_config(config_file, *SETTINGS, f"train.mlperf_log={path}")
    outcome = loop.train(config, tmp_path / "run", World(), begun=begun)
    assert outcome.exit_code == 0 and (outcome.metrics["box_ap"], outcome.metrics["mask_ap"]) == (0.38, 0.34)
    steps = [line["step"] for line in logged_lines(tmp_path / "run") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]  # 2 epochs of 5
    assert "time to train" in log.text and len(faster) == 1
    assert log.text.count("box AP was exactly 0") == 1 and log.text.count(" at the first step, and a new head") == 2
    best = RunFolder(tmp_path / "run").checkpoints.best()
    assert best.name == "step-00000006" and checkpoint.read_info(best)["metrics"] == outcome.metrics
    assert log.text.count("pycocotools gives the same numbers") == 2
    _is_whole(path, begun)


def _is_whole(path, begun):
    events = mllog.read(path)
    keys, at = [event.key for event in events], {event.key: event for event in events}
    begin = keys.index("run_start")
    assert keys[:2] == ["cache_clear", "init_start"] and keys[begin - 1] == "init_stop"
    epoch = ["epoch_start", "epoch_stop", "eval_start", "eval_accuracy", "eval_stop", "block_stop"]
    assert keys[begin:] == ["run_start", "block_start", *epoch, "block_start", *epoch, "run_stop"]
    assert at["init_start"].time_ms == round(begun * 1000)
    values = {event.key: event.value for event in events[2 : begin - 1]}
    assert values == {
        "submission_benchmark": "maskrcnn",
        "submission_org": "not submitted",
        "submission_division": "closed",
        "submission_status": "research",
        "submission_platform": "a machine",
        "seed": 1,
        "global_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "opt_base_learning_rate": 0.02,
        "opt_learning_rate_warmup_steps": 2,
        "opt_learning_rate_warmup_factor": 0.00999,
        "opt_learning_rate_decay_factor": 0.1,
        "opt_learning_rate_decay_steps": [4, 5],
        "num_image_candidates": 1000,
        "min_image_size": 64,
        "max_image_size": 96,
        "train_samples": 6,
        "eval_samples": 5,
    }
    blocks = [event.metadata for event in events if event.key == "block_start"]
    assert [(block["first_epoch_num"], block["epoch_count"]) for block in blocks] == [(1, 1), (2, 1)]
    scores = [(event.metadata["epoch_num"], event.value) for event in events if event.key == "eval_accuracy"]
    assert scores == [(1, {"BBOX": 0.0, "SEGM": 0.01}), (2, {"BBOX": 0.38, "SEGM": 0.34})]
    assert at["run_stop"].metadata["status"] == "success"
    moments = [event.time_ms for event in events[1:]]
    assert moments == sorted(moments)
    _complies(path)


def _complies(path):
    """MLPerf's checker has nothing against the log, if it is there."""
    place = place_of("mlperf")
    if place is not None:
        assert Checkers(str(place / "bin/python")).compliance(path).faults == ()


# ------------------------------------------------------------------------------------------ the callback, by its calls


def run_at(path, step=0, *changes):
    """What MlperfLog sees of a run of 4 epochs of 3 steps, at a step."""
    config = configuration.mask_rcnn()
    for change in (f"train.mlperf_log={path}", *TARGETS, "train.epochs=4", *changes):
        configuration.apply_override(config, change)
    return SimpleNamespace(
        config=config,
        steps=Steps(step, 3, 12),
        pace=Pace(16, 1, 1.0),
        schedule=build_schedule(config.schedule, 0.02, 3, 12),
        inputs=SimpleNamespace(images=48, evaluation=SimpleNamespace(num_images=5)),
    )


def go(log, run, epoch):
    """An epoch from where the run is, without its evaluation."""
    log.on_epoch_begin(epoch)
    run.steps.step = 3 * (epoch + 1)
    log.on_epoch_end(epoch)


def evaluate(log, ap, met=False):
    log.evaluation_begins()
    log.evaluated({"box_ap": ap, "mask_ap": ap}, met)


def keys(path):
    return [event.key for event in mllog.read(path)]


def test_a_resumed_run_says_once_what_is_said_once(tmp_path):
    path = tmp_path / "a new folder" / "log"
    run = run_at(path)
    log = MlperfLog(run, begun=1.0)
    log.start()
    go(log, run, 0)
    evaluate(log, 0.1)
    log.on_epoch_begin(1)
    run.steps.step = 4
    log.on_epoch_end(1)  # SIGTERM stops it within the epoch
    first = keys(path)
    assert first[-2:] == ["block_start", "epoch_start"]

    run = run_at(path, step=4)
    log = MlperfLog(run, begun=2.0)
    log.start()
    go(log, run, 1)
    evaluate(log, 0.4, met=True)
    log.stop(met=True)
    end = ["epoch_stop", "eval_start", "eval_accuracy", "eval_stop", "block_stop", "run_stop"]
    assert keys(path) == [*first, *end]
    assert mllog.read(path)[-1].metadata["status"] == "success"

    log = MlperfLog(run_at(path, step=6), begun=3.0)  # it has ended
    log.start()
    evaluate(log, 0.4, met=True)
    log.stop(met=False)
    assert keys(path) == [*first, *end]


def test_an_evaluation_that_was_killed_begins_once(tmp_path):
    run = run_at(tmp_path / "log")
    log = MlperfLog(run, begun=1.0)
    log.start()
    go(log, run, 0)
    log.evaluation_begins()
    log = MlperfLog(run_at(tmp_path / "log", step=3), begun=2.0)
    evaluate(log, 0.2)
    assert keys(tmp_path / "log")[-4:] == ["eval_start", "eval_accuracy", "eval_stop", "block_stop"]
    assert keys(tmp_path / "log").count("eval_start") == 1


def test_a_score_that_arrives_within_the_next_epoch(tmp_path):
    """Its block ends when training goes on; the accuracy belongs to the epoch that was evaluated, also after a kill."""
    run = run_at(tmp_path / "log")
    log = MlperfLog(run, begun=1.0)
    log.start()
    go(log, run, 0)
    log.evaluation_begins(aside=True)
    log.on_epoch_begin(1)
    run.steps.step = 5
    log = MlperfLog(run, begun=2.0)
    log.evaluated({"box_ap": 0.4, "mask_ap": 0.4}, met=True, aside=True)
    end = ["eval_start", "block_stop", "block_start", "epoch_start", "eval_accuracy", "eval_stop"]
    assert keys(tmp_path / "log")[-9:] == [*end, "epoch_stop", "block_stop", "run_stop"]
    events = mllog.read(tmp_path / "log")
    assert {event.metadata["epoch_num"] for event in events if event.key in end[:1] + end[4:6]} == {1}
    for edge in ("block_start", "block_stop"):
        assert [event.metadata["first_epoch_num"] for event in events if event.key == edge] == [1, 2]


def test_blocks_last_until_the_next_evaluation(tmp_path):
    run = run_at(tmp_path / "log", 0, "train.evaluate_every_epochs=3")
    log = MlperfLog(run, begun=1.0)
    log.start()
    for epoch in range(3):
        go(log, run, epoch)
    evaluate(log, 0.1)
    go(log, run, 3)  # the last epoch is evaluated in any case
    evaluate(log, 0.1)
    log.stop(met=False)
    events = mllog.read(tmp_path / "log")
    blocks = [event.metadata for event in events if event.key == "block_start"]
    assert [(block["first_epoch_num"], block["epoch_count"]) for block in blocks] == [(1, 3), (4, 1)]
    assert [event.metadata["epoch_num"] for event in events if event.key == "epoch_stop"] == [1, 2, 3, 4]
    assert [event.metadata["first_epoch_num"] for event in events if event.key == "block_stop"] == [1, 4]
    assert events[-1].key == "run_stop" and events[-1].metadata["status"] == "aborted"


def test_a_run_that_never_began_leaves_no_line(tmp_path):
    MlperfLog(run_at(tmp_path / "log"), begun=1.0).stop(met=False)
    assert not (tmp_path / "log").exists()


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "begun, goes_on, elastic, records, words",
    [
        (False, False, True, True, "elastic run may change, so it has no MLPerf log"),
        (False, False, False, False, "which a dataset does not say; train on records"),
        (True, False, False, True, "has a run already, and each run needs a file of its own"),
        (False, True, False, True, "does not have the beginning of the run that goes on"),
    ],
)
def test_logs_that_cannot_be(tmp_path, begun, goes_on, elastic, records, words):
    path = tmp_path / "log"
    mllog.append(path, "run_start" if begun else "cache_clear")
    with pytest.raises(UserError, match=words) as error:
        check_mlperf_log(str(path), goes_on, elastic, records)
    assert str(path) in str(error.value)
    check_mlperf_log("", goes_on, elastic, records)


def test_a_log_in_the_place_of_a_folder(tmp_path):
    with pytest.raises(UserError, match="is a folder; name a file"):
        check_mlperf_log(str(tmp_path), False, False, True)
    check_mlperf_log(str(tmp_path / "new" / "log"), False, False, True)

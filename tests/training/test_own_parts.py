"""Runs with parts of the user's own: callbacks, a dataset; and the metrics beside the losses."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet import evaluation
from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from awsdet.training import loop
from awsdet.training.run_folder import RunFolder
from tests.models.small_detectors import TWO_IMAGES, batch_of
from tests.training.tiny_run import QUICK, load_config, logged_lines


def test_users_callbacks_see_the_metrics_and_stop_the_run(config_file, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: {"box_ap": 0.25, "per_class": {}})
    seen = []

    class Own(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, logs["box_ap"], float(logs["loss"])))
            self.model.stop_training = True

    changes = ("train.evaluate_every_epochs=1", "train.epochs=5", "train.pictures=0", "train.score_aside_from=1")
    outcome = loop.train(load_config(config_file, *QUICK, *changes), tmp_path / "run", callbacks=[Own()])
    assert outcome.exit_code == 0 and [(epoch, ap) for epoch, ap, _ in seen] == [(0, 0.25)]
    assert [path.name for path in RunFolder(tmp_path / "run").checkpoints.all()] == ["step-00000003"]


def test_a_run_stopped_before_its_first_evaluation_misses_its_target(config_file, tmp_path, log):
    class Stop(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    changes = ("train.evaluate_every_epochs=5", "train.epochs=5", "train.pictures=0", "train.box_ap_target=0.4")
    outcome = loop.train(load_config(config_file, *QUICK, *changes), tmp_path / "run", callbacks=[Stop()])
    assert outcome == loop.Outcome(1, None) and "it was not evaluated" in log.text
    assert RunFolder(tmp_path / "run").checkpoints.newest() is not None


def test_a_dataset_of_the_user(config_file, tmp_path):
    """Two steps of batches made by hand, in the middle of an epoch; then the run goes on."""
    batches = [batch_of(TWO_IMAGES, (64, 64), seed=seed) for seed in range(3)]
    dataset = tf.data.Dataset.from_tensors(batches[0])
    for more in batches[1:]:
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors(more))
    config = load_config(config_file, *QUICK, "data.train_records=", "train.epochs=2")
    mine = {"dataset": dataset, "class_names": ["a", "b", "c"]}
    with pytest.raises(UserError, match="give class_names"):
        loop.train(config, tmp_path / "run", dataset=dataset)
    with pytest.raises(UserError, match="length of the dataset is not known"):
        loop.train(config, tmp_path / "run", dataset=dataset.repeat(), class_names=["a", "b", "c"])
    loop.train(load_config(config_file, *QUICK, "data.train_records=", "train.max_steps=2"), tmp_path / "run", **mine)
    outcome = loop.train(config, tmp_path / "run", resume=True, **mine)
    assert outcome.exit_code == 0
    assert [line["step"] for line in logged_lines(tmp_path / "run") if "loss" in line] == [1, 2, 3, 4, 5, 6]
    loop.train(config, tmp_path / "whole", **mine)
    ours, whole = (checkpoint.load(tmp_path / run)[0].variables for run in ("run", "whole"))
    for a, b in zip(ours, whole):
        np.testing.assert_array_equal(a, b, a.name)


def test_metrics_are_logged_on_request_and_what_the_run_will_do(config_file, tmp_path, log):
    """Of what is seen in training nothing is said, since there is nothing unusual."""
    wanted = {"rpn_recall", "rpn_positives", "accuracy", "foreground_accuracy", "false_negatives", "roi_positives"}
    changes = (
        "train.max_steps=2",
        "train.log_metrics=true",
        "optimizer.learning_rate=0.0025",
        "schedule.decay_epochs=1",
        "schedule.warmup_steps=1",
        "model.backbone.norm=group_norm",
    )
    loop.train(load_config(config_file, *QUICK, *changes), tmp_path / "run")
    (first, _) = logged_lines(tmp_path / "run")
    assert wanted <= set(first) and all(0 <= first[name] <= 1 for name in wanted)
    assert "accuracy 0" in log.text or "accuracy 1" in log.text
    said = [record.getMessage() for record in log.records if record.name == "absl"]
    for line in (
        "start: random values everywhere",
        "length: 2 steps, 0.667 epochs of 3 steps; 2 images per step (1 process)",
        "evaluation: never; 1 checkpoint, of which the last 3 are kept",
        "first losses: rpn_class 0.69 (ln 2), class 1.61 (ln 5), since their heads are new; the others follow from the "
        "data",
    ):
        assert line in said
    assert not [record.getMessage() for record in log.records if record.levelname == "WARNING"]

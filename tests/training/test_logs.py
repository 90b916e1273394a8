"""The log and the progress bar, without a run."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from awsdet.training import logs
from awsdet.training.steps import Steps


@pytest.mark.parametrize("seconds, looks", [(0.0, 40), (1e6, 1)])
def test_bar_looks_at_the_losses_now_and_then(monkeypatch, capsys, seconds, looks):
    monkeypatch.setattr(logs, "_BAR_SECONDS", seconds)
    bar = logs.Bar()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 40})
    bar.on_epoch_begin(0)
    for step in range(40):
        bar.on_train_batch_end(step, {"loss": tf.constant(2.0)})
    assert bar.seen == looks
    bar.on_epoch_end(0, {"loss": tf.constant(2.0)})
    last = capsys.readouterr().out.splitlines()[-1]
    assert "40/40 [====" in last and "loss: 2.0000" in last


def test_log_line_has_the_means_since_the_last():
    """Five steps, with a line every two steps and one at the end."""
    steps, records, seen = Steps(0, 5, 5), [], []
    see = lambda done, values: seen.append((done, values["loss"].tolist()))  # noqa: E731
    log = logs.Log(steps, 2, 4, lambda: 0.1, records.append, show=False, see=see)
    log.set_model(SimpleNamespace(train_function=SimpleNamespace(data_seconds=0.0)))
    log.on_epoch_begin(0)
    for loss in (1.0, 2.0, 4.0, 8.0, 16.0):
        steps.step += 1
        metric = tf.constant(loss if loss > 2 else np.nan)  # NaN: the batch had nothing to count
        log.on_train_batch_end(0, {"loss": tf.constant(loss), "box_loss": tf.constant(10 * loss), "accuracy": metric})
    assert [record["step"] for record in records] == [2, 4, 5]
    np.testing.assert_allclose([record["loss"] for record in records], [1.5, 6.0, 16.0])
    np.testing.assert_allclose([record["box_loss"] for record in records], [15.0, 60.0, 160.0])
    assert seen == [(0, [1.0, 2.0]), (2, [4.0, 8.0]), (4, [16.0])]
    assert "accuracy" not in records[0] and [record["accuracy"] for record in records[1:]] == [6.0, 16.0]

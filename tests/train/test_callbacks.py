"""What surrounds the steps, by itself."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.train import callbacks


@pytest.mark.parametrize("seconds, looks", [(0.0, 40), (1e6, 1)])
def test_bar_looks_at_the_losses_now_and_then(monkeypatch, capsys, seconds, looks):
    monkeypatch.setattr(callbacks, "_BAR_SECONDS", seconds)
    bar = callbacks.Bar()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 40})
    bar.on_epoch_begin(0)
    for step in range(40):
        bar.on_train_batch_end(step, {"loss": tf.constant(2.0)})
    assert bar.seen == looks
    bar.on_epoch_end(0, {"loss": tf.constant(2.0)})
    last = capsys.readouterr().out.splitlines()[-1]
    assert "40/40 [====" in last and "loss: 2.0000" in last


def test_log_line_has_the_means_since_the_last():
    """Five steps, a line each two and one at the end."""
    steps, records = callbacks.Steps(0, 5, 5), []
    log = callbacks.Log(steps, 2, 4, lambda: 0.1, records.append, show=False)
    log.on_epoch_begin(0)
    for loss in (1.0, 2.0, 4.0, 8.0, 16.0):
        steps.step += 1
        log.on_train_batch_end(0, {"loss": tf.constant(loss), "box_loss": tf.constant(10 * loss)})
    assert [record["step"] for record in records] == [2, 4, 5]
    np.testing.assert_allclose([record["loss"] for record in records], [1.5, 6.0, 16.0])
    np.testing.assert_allclose([record["box_loss"] for record in records], [15.0, 60.0, 160.0])

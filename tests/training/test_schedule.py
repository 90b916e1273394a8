"""Learning rates, number for number."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as base
from awsdet.runtime.errors import UserError
from awsdet.training.schedule import SCHEDULES, build_schedule


def settings(**changes):
    config = base.mask_rcnn()
    config.schedule.update(**changes)
    return config.schedule


def rates(schedule, *steps):
    return [float(schedule(tf.constant(step, tf.int64))) for step in steps]


def test_step_schedule_of_the_1x_recipe():
    schedule = build_schedule(settings(), 0.02, steps_per_epoch=1000, total_steps=12000)
    # 0.02 * (0.001 + 0.999 * step / 500) while it warms up, a tenth from epoch 8 on, a hundredth from epoch 11 on
    wanted = [0.02 * 0.001, 0.02 * 0.5005, 0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    np.testing.assert_allclose(rates(schedule, 0, 250, 500, 7999, 8000, 10999, 11000, 12000), wanted, rtol=1e-5)


def test_updates_are_fewer_than_steps_when_gradients_are_accumulated():
    schedule = build_schedule(settings(warmup_steps=0), 1.0, steps_per_epoch=10, total_steps=120, accumulate_steps=4)
    assert schedule.boundaries == [20, 27]  # 80 / 4, 110 / 4
    np.testing.assert_allclose(rates(schedule, 0, 19, 20, 27), [1.0, 1.0, 0.1, 0.01], rtol=1e-6)


def test_decay_at_shares_of_the_run():
    """However many epochs that are; in updates, of which there are fewer than steps if gradients are accumulated."""
    shares = settings(warmup_steps=0, decay_shares=(2 / 3, 11 / 12))
    schedule = build_schedule(shares, 1.0, steps_per_epoch=7, total_steps=1200)
    np.testing.assert_allclose(rates(schedule, 0, 799, 800, 1099, 1100), [1, 1, 0.1, 0.1, 0.01], rtol=1e-6)
    assert build_schedule(shares, 1.0, 7, 1200, accumulate_steps=4).boundaries == [200, 275]
    assert build_schedule(settings(decay_shares=(0.0,)), 1.0, 10, 120).boundaries == [80, 110]


def test_decay_at_updates():
    """However long the run and its epochs are, and however many steps an update has."""
    at = settings(warmup_steps=0, decay_updates=(12, 16))
    for accumulate in (1, 4):
        schedule = build_schedule(at, 1.0, steps_per_epoch=7, total_steps=1200, accumulate_steps=accumulate)
        np.testing.assert_allclose(rates(schedule, 11, 12, 15, 16), [1, 0.1, 0.1, 0.01], rtol=1e-6)


def test_each_name_has_its_schedule():
    made = {name: type(build_schedule(settings(name=name), 0.1, 5, 60)).__name__ for name in SCHEDULES}
    assert made == {"step": "StepDecay", "cosine": "Cosine"}


def test_cosine():
    wanted = settings(name="cosine", warmup_steps=10, warmup_ratio=0.5, final_ratio=0.1)
    schedule = build_schedule(wanted, 2.0, steps_per_epoch=10, total_steps=110)
    np.testing.assert_allclose(rates(schedule, 0, 5, 10, 60, 110, 500), [1.0, 1.5, 2.0, 1.1, 0.2, 0.2], rtol=1e-5)


def test_a_schedule_survives_its_config_and_works_in_a_graph():
    for name in ("step", "cosine"):
        schedule = build_schedule(settings(name=name, warmup_steps=3), 0.1, 5, 60)
        again = type(schedule).from_config(schedule.get_config())
        assert rates(schedule, *range(0, 60, 7)) == rates(again, *range(0, 60, 7))
        graph = tf.function(schedule)
        assert float(graph(tf.constant(2))) == pytest.approx(rates(schedule, 2)[0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "poly"}, "schedule.name is 'poly'; it must be one of step, cosine"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio is 1.5"),
        ({"decay_epochs": (11, 8)}, "decay_epochs is"),
        ({"decay_shares": (0.9, 0.7)}, "decay_shares is .*shares that rise between 0 and 1, as in 0.67,0.92"),
        ({"decay_shares": (0.5, 0.5)}, "decay_shares is"),
        ({"decay_shares": (0.5, 1.0)}, "decay_shares is"),
        ({"decay_shares": (0.0, 0.5)}, "decay_shares is"),
        ({"decay_shares": (float("nan"),)}, "decay_shares is"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        build_schedule(settings(**changes), 0.1, 5, 60)

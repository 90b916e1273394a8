"""The rule for batches, accumulation and learning rate when the number of processes changes."""

import numpy as np
import pytest

from awsdet import config as config_module
from awsdet.training.pace import Pace, Reference, described, pace_of
from awsdet.training.schedule import Followed, build_schedule


@pytest.mark.parametrize(
    "images, accumulate, ratio",
    [
        (16, 1, 1.0),  # as at the start
        (8, 2, 1.0),
        (2, 8, 1.0),
        (12, 1, 0.75),
        (10, 2, 1.25),  # 10 and 20 images are 6 and 4 away from 16
        (6, 3, 1.125),
        (32, 1, 2.0),  # a step cannot be split
        (160, 1, 10.0),
    ],
)
def test_images_per_update_are_kept_if_they_can_be(images, accumulate, ratio):
    assert pace_of(Reference(16), images) == Pace(images, accumulate, ratio)
    assert pace_of(Reference(4, accumulate=4), images) == Pace(images, accumulate, ratio)


def test_the_rule_in_words():
    assert described(pace_of(Reference(16), 8), True).endswith("as at the start of the run; the learning rate stays")
    assert "2 times those at the start of the run; the learning rate is 2 times that" in described(
        Pace(32, 1, 2.0), True
    )
    assert described(Pace(32, 1, 2.0), False).endswith("the learning rate stays as given")


def schedule():
    settings = config_module.mask_rcnn().schedule
    settings.update(name="step", warmup_steps=10, warmup_ratio=0.1, decay_epochs=(2,), decay_factor=0.1)
    return build_schedule(settings, 0.02, steps_per_epoch=20, total_steps=60)


def rates(followed, updates):
    return np.array([float(followed(update)) for update in updates])


def test_followed_is_the_schedule_itself_while_nothing_changes():
    plain = schedule()
    assert rates(Followed(plain), range(60)).tolist() == [float(plain(update)) for update in range(60)]


def test_twice_the_images_per_update_are_twice_the_rate_and_half_the_updates():
    """From update 4 on: in the warm-up and across the decay, at the same images as before."""
    plain = schedule()
    followed = Followed(plain)
    followed.set(first=4, position=4.0, ratio=2.0, factor=2.0)
    np.testing.assert_allclose(
        rates(followed, range(4, 30)), [2 * float(plain(4 + 2 * (update - 4))) for update in range(4, 30)], rtol=1e-6
    )
    # The decay comes after 40 updates of the reference, that is 18 updates later.
    assert float(followed(21)) == pytest.approx(0.04) and float(followed(22)) == pytest.approx(0.004)


def test_a_place_in_the_schedule_is_handed_from_world_to_world():
    """2 updates of the reference, 4 updates of 1.5 times its images, then of 0.5 times."""
    followed = Followed(schedule())
    followed.set(first=2, position=2.0, ratio=1.5, factor=1.5)
    place = float(followed.position(6))
    assert place == 8.0
    followed.set(first=6, position=place, ratio=0.5, factor=0.5)
    assert float(followed.position(8)) == 9.0
    assert float(followed(8)) == pytest.approx(0.5 * float(schedule()(9.0)))

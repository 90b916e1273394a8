"""The images per process that the images of all processes make."""

import pytest

from awsdet import config as configuration
from awsdet.runtime.errors import UserError
from awsdet.training.settings import with_batch_size


def config_of(*changes):
    config = configuration.mask_rcnn()
    for change in changes:
        configuration.apply_override(config, change)
    return config


@pytest.mark.parametrize(
    "changes, processes, share",
    [
        (("data.batch_size=0",), 8, 12),
        (("data.batch_size=0",), 1, 96),
        (("data.batch_size=0", "train.accumulate_steps=3"), 8, 4),
        (("data.batch_size=12",), 8, 12),
    ],
)
def test_each_process_has_its_share(changes, processes, share):
    config = config_of("data.global_batch_size=96", *changes)
    before = configuration.to_json(config)
    assert with_batch_size(config, processes).data.batch_size == share
    assert configuration.to_json(config) == before


def test_without_the_setting_nothing_changes():
    config = config_of()
    assert with_batch_size(config, 7, elastic=True) is config


@pytest.mark.parametrize(
    "changes, processes, elastic, words",
    [
        (("data.batch_size=0",), 7, False, r"is 96, which 7 process\(es\) x 1 step\(s\) .* cannot share evenly; start"),
        (("data.batch_size=0",), 192, False, "cannot share evenly"),
        (("data.batch_size=0", "train.accumulate_steps=5"), 8, False, r"8 process\(es\) x 5 step\(s\) per update"),
        (("data.batch_size=2",), 8, False, r"x 2 images \(data.batch_size\) are 16; set data.batch_size=12, or 0"),
        (("data.batch_size=12",), 8, True, "an elastic run may not keep it"),
    ],
)
def test_numbers_that_do_not_fit(changes, processes, elastic, words):
    with pytest.raises(UserError, match=words) as error:
        with_batch_size(config_of("data.global_batch_size=96", *changes), processes, elastic)
    assert "\n" not in str(error.value)

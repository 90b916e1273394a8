"""The recipes as functions, for configs of one's own."""

import pytest

from awsdet import config as configs


def test_multi_scale_names_the_epochs_that_it_knows():
    config = configs.multi_scale(configs.cascade_rcnn(), epochs=24)
    assert (config.train.epochs, config.schedule.decay_epochs, config.data.short_side_range) == (
        24,
        (16, 22),
        (640, 800),
    )
    with pytest.raises(ValueError, match=r"in \[24, 36\] epochs, not in 12"):
        configs.multi_scale(configs.mask_rcnn(), epochs=12)


@pytest.mark.parametrize("options, rate", [({}, 2e-4), ({"learning_rate": 1e-4}, 1e-4)])
def test_resnet_strikes_back_keeps_what_is_the_family_s(options, rate):
    family = configs.retinanet()
    config = configs.resnet_strikes_back(configs.retinanet(), **options)
    assert config.optimizer.learning_rate == rate and config.optimizer.name == "adamw"
    assert config.model == family.model and config.data == family.data and config.schedule == family.schedule

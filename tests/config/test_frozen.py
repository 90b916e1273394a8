"""Settings that would leave layers of a new run at random values."""

import pytest

from awsdet import config as config_module


@pytest.mark.parametrize(
    "changes, settings",
    [
        ((), "model.backbone.frozen_stages=1 and norm=frozen_batch_norm"),
        (("model.backbone.norm=batch_norm", "model.backbone.frozen_stages=0"), "model.backbone.frozen_stages=0"),
        (("model.backbone.frozen_stages=-1",), "model.backbone.norm=frozen_batch_norm"),
        (("model.backbone.frozen_stages=-1", "model.backbone.norm=group_norm"), ""),
        (("train.init_from=weights.npz",), ""),
        (("train.allow_random_frozen=true",), ""),
    ],
)
def test_layers_that_would_stay_random(changes, settings):
    config = config_module.mask_rcnn()
    for change in changes:
        config_module.apply_override(config, change)
    assert config_module.frozen_at_random(config) == settings

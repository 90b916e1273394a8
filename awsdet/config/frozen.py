"""Which settings would leave layers of a new run at random values for ever; without TensorFlow, for jobs elsewhere."""

from typing import Any


def frozen_at_random(config: Any) -> str:
    """The settings in a ConfigDict that would keep layers of a new run at their random initial values; "" if none do.

    A run that goes on from a checkpoint has its weights, whatever these settings are.
    """
    backbone, train = config.model.backbone, config.train
    if train.init_from or train.allow_random_frozen:
        return ""
    frozen = [f"frozen_stages={backbone.frozen_stages}"] if backbone.frozen_stages >= 0 else []
    frozen += ["norm=frozen_batch_norm"] if backbone.norm == "frozen_batch_norm" else []
    return f"model.backbone.{' and '.join(frozen)}" if frozen else ""

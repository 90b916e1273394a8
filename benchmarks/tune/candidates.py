"""The settings of the fine-tuning recipe that are tried, one at a time."""

import pathlib

from awsdet import config as config_lib

CONFIG = pathlib.Path(__file__).with_name("config.py")
RECIPE = pathlib.Path(__file__).resolve().parents[2] / "configs/finetune_mask_rcnn_r50_fpn.py"
NOW = "as now"
_WARMUP = "schedule.warmup_steps"


def candidates(short_side):
    """Name -> changes of the config, a dict of setting -> value; the recipe as it is comes first.

    short_side: px, of the images.
    """
    config, recipe = config_lib.load(CONFIG), config_lib.load(RECIPE)
    rate, steps, warmup = config.optimizer.learning_rate, config.train.max_steps, config.schedule.warmup_steps
    shorter = recipe.train.max_steps * recipe.data.batch_size / (steps * config.data.batch_size)
    return {
        NOW: {},
        "a quarter of the rate": {"optimizer.learning_rate": rate / 4},
        "half the rate": {"optimizer.learning_rate": rate / 2},
        "twice the rate": {"optimizer.learning_rate": 2 * rate},
        "four times the rate": {"optimizer.learning_rate": 4 * rate},
        # As many times as the run is shorter, so that the sum of the rates of all images is that of the recipe.
        f"{shorter:g} times the rate": {"optimizer.learning_rate": shorter * rate},
        "cosine": {"schedule.name": "cosine"},
        "short sides from 0.8": {"data.short_side_range": (round(0.8 * short_side), short_side)},
        "averaged weights": {"optimizer.ema_decay": 0.99},
        "nothing frozen": {"model.backbone.frozen_stages": -1},
        "two stages frozen": {"model.backbone.frozen_stages": 2},
        "twice the steps": {"train.max_steps": 2 * steps, "train.epochs": 2 * steps, _WARMUP: 2 * warmup},
        "no warm-up": {_WARMUP: 0},
        "five times the warm-up": {_WARMUP: 5 * warmup},
    }


def overrides(changes):
    """The flags of `awsdet train` for some changes."""
    return [f"--config.{key}={_text(value)}" for key, value in changes.items()]


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

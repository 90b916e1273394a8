"""The recipe of configs/finetune_mask_rcnn_r50_fpn.py for a narrow network, in fewer steps.

It has the network of `make train`. The rate per image is that of the recipe. Warm-up and decays come at the same shares
of the run.
"""

import pathlib

from awsdet import config as base

NETWORK = pathlib.Path(__file__).resolve().parents[2] / "configs/shapes_mask_rcnn.py"
BATCH, STEPS = 4, 160


def get_config():
    config = base.fine_tune(base.mask_rcnn())
    frozen = {key: config.model.backbone[key] for key in ("frozen_stages", "norm")}
    warmup = config.schedule.warmup_steps * STEPS / config.train.max_steps

    config.model.update(base.load(NETWORK).model)
    config.model.backbone.update(frozen)
    config.data.update(batch_size=BATCH, eval_batch_size=8)
    config.schedule.warmup_steps = round(warmup)
    config.train.update(epochs=STEPS, max_steps=STEPS, max_evaluations=1)
    config.train.update(keep_last=1, keep_best=False, log_every_steps=20, pictures=0, tensorboard=False)
    return config

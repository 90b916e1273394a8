"""What the MLPerf configs of Mask R-CNN have in common: the reference of MLPerf Training, and its target.

docs/mlperf.md has the table of their hyper-parameters and tells how to run them.
"""

import pathlib

from awsdet import config as base

_REFERENCE = pathlib.Path(__file__).parents[1] / "mask_rcnn_r50_fpn_mlperf.py"


def mask_rcnn(images, learning_rate, warmup, decays, candidates=6000):
    """The config of a batch size.

    Args:
        images: per update, over all processes. learning_rate: for these.
        warmup: (updates, rise of the rate per update). decays: the two updates after which the rate decays.
        candidates: the proposals that remain of all images of a process together.
    """
    config = base.load(_REFERENCE)
    config.data.update(global_batch_size=images, batch_size=0, keep_empty=False)
    config.model.rpn.update(post_nms_train=2000, post_nms_batch=candidates)
    # The reference trains on no anchor that reaches out of its image, and drops crowd regions.
    config.model.rpn.update(allowed_border=0.0, ignore_iof=-1.0)
    config.model.box_head.ignore_iof = -1.0
    # Of Detectron: biases have twice the rate and no decay.
    config.optimizer.update(learning_rate=learning_rate, base_batch=images, rules="*.bias rate=2 decay=0")
    updates, rise = warmup
    # The reference subtracts a rise for each update that is left; awsdet has the share of the rate at the start.
    config.schedule.update(warmup_steps=updates, warmup_ratio=max(0.0, 1 - updates * rise / learning_rate))
    config.schedule.decay_updates = decays
    config.train.epochs = 20  # it stops at the target; the reference meets it in 12 to 18
    return config

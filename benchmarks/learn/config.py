"""The network and the schedule of the learning benchmark: rules that awsdet and torchvision can both follow.

`awsdet train --config=benchmarks/learn/config.py` would train it too. Where mmdetection and torchvision have different
rules, and ours has a setting for torchvision's, this file sets it.
"""

from awsdet import config as base

BATCH, STEPS_PER_EPOCH = 8, 100
SIDES = (96, 128)  # px, short and long, of the images, which are not resized


def get_config():
    config = base.mask_rcnn()
    config.data.update(batch_size=BATCH, eval_batch_size=BATCH)
    config.data.update(short_sides=SIDES[:1], eval_short_side=SIDES[0], max_long_side=SIDES[1])
    # Portraits and landscapes in one square: torchvision has no rule for anchors in a part that only some images fill.
    config.data.pad_multiple = SIDES[1]

    model = config.model
    model.backbone.update(base_width=16, frozen_stages=-1, norm="batch_norm")
    model.fpn.update(channels=64, norm="batch_norm")
    model.anchors.scales = (4.0,)
    model.rpn.update(channels=64, pre_nms_train=400, post_nms_train=200, pre_nms_test=200, post_nms_test=100)
    model.rpn.update(box_loss="smooth_l1", min_positive_iou=0.0, ignore_iof=-1.0)
    model.box_head.update(channels=256, sample_size=32, positive_fraction=0.5, finest_scale=28.0)
    model.box_head.update(box_loss="smooth_l1", smooth_l1_beta=1.0 / 9.0, low_quality_matches=False, ignore_iof=-1.0)
    model.box_head.update(aligned=False, sampling_ratio=2)  # of masks too
    model.mask_head.update(channels=64, convs=2, sampling_ratio=2)

    config.optimizer.update(learning_rate=0.04, base_batch=BATCH, clip_norm=10.0)
    config.schedule.update(name="cosine", warmup_steps=50, warmup_ratio=0.02, final_ratio=0.02)
    config.train.update(epochs=5, keep_last=1, keep_best=False, log_every_steps=50, pictures=0, tensorboard=False)
    return config

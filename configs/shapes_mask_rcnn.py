"""A narrow Mask R-CNN, trained from scratch on the built-in shapes in minutes on two cores; `make train` runs it."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.data.train_records = "data/shapes/records"
    config.data.batch_size = 8
    config.data.eval_batch_size = 8
    config.data.short_sides = (96,)
    config.data.eval_short_side = 96
    config.data.max_long_side = 128

    model = config.model
    model.backbone.update(base_width=16, frozen_stages=-1, norm="batch_norm")
    model.fpn.update(channels=64, norm="batch_norm")
    model.anchors.scales = (4.0,)  # for objects of 16 px and more
    model.rpn.update(channels=64, pre_nms_train=400, post_nms_train=200, pre_nms_test=200, post_nms_test=100)
    model.box_head.update(channels=256, sample_size=32, positive_fraction=0.5, finest_scale=28.0)
    model.mask_head.update(channels=64, convs=2)

    # From scratch and in few steps, LAMB learns several times faster here than SGD with momentum.
    config.optimizer.update(name="lamb", learning_rate=0.005, base_batch=8, clip_norm=10.0)
    config.schedule.update(name="cosine", warmup_steps=50, warmup_ratio=0.02, final_ratio=0.02)
    config.train.update(epochs=8, log_every_steps=25)
    return config

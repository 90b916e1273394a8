"""Mask R-CNN with the settings of Detectron and the MLPerf training reference (box AP 0.377, mask AP 0.339).

Smooth L1 box losses, RoIAlign with two samples per bin and axis and no alignment by half a pixel, and a Caffe-style
backbone with every BatchNorm parameter fixed.
"""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    # Weights of this style expect BGR pixels; the standard deviation is folded into the first convolution, hence 1.
    config.model.image.mean = (102.9801, 115.9465, 122.7717)
    config.model.image.std = (1.0, 1.0, 1.0)
    config.model.image.bgr = True
    config.model.backbone.style = "caffe"
    config.model.backbone.norm_affine_trainable = False
    config.model.rpn.box_loss = "smooth_l1"
    config.model.rpn.post_nms_train = 1000
    config.model.box_head.box_loss = "smooth_l1"
    config.model.box_head.smooth_l1_beta = 1.0
    config.model.box_head.low_quality_matches = False
    config.model.box_head.sampling_ratio = 2
    config.model.box_head.aligned = False
    config.model.mask_head.sampling_ratio = 2
    config.schedule.warmup_ratio = 1.0 / 3.0
    config.train.box_ap_target = 0.377
    config.train.mask_ap_target = 0.339
    config.train.init_from = "imagenet-r50-caffe"
    return config

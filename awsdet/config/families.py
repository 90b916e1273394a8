"""The families of detectors: each function makes a complete config from the defaults."""

from ml_collections import ConfigDict

from awsdet.config import defaults


def mask_rcnn():
    """Mask R-CNN, ResNet-50 FPN, 1x schedule (12 epochs of batch 16). Returns a locked ConfigDict."""
    config = ConfigDict()
    config.seed = 1
    config.model = defaults.model()
    config.data = defaults.data()
    config.optimizer = defaults.optimizer()
    config.schedule = defaults.schedule()
    config.train = defaults.train()
    return config.lock()


def faster_rcnn():
    """Mask R-CNN without the mask head. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "faster_rcnn"
    config.model.box_head.low_quality_matches = False
    return config


def retinanet():
    """RetinaNet, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "retinanet"
    config.model.fpn.extra_convs = "on_input"
    config.model.anchors.scales = (4.0, 4.0 * 2.0 ** (1 / 3), 4.0 * 2.0 ** (2 / 3))
    config.optimizer.learning_rate = 0.01
    return config


def mask_scoring_rcnn():
    """Mask Scoring R-CNN, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "mask_scoring_rcnn"
    return config


def cascade_mask_rcnn():
    """Cascade Mask R-CNN, ResNet-50 FPN, 1x schedule. Returns a locked ConfigDict."""
    config = mask_rcnn()
    config.model.detector = "cascade_mask_rcnn"
    config.model.rpn.update(allowed_border=0.0, box_loss="smooth_l1", post_nms_train=2000)
    config.model.box_head.update(class_agnostic=True, box_loss="smooth_l1", low_quality_matches=False)
    return config


def cascade_rcnn():
    """Cascade Mask R-CNN without the mask heads. Returns a locked ConfigDict."""
    config = cascade_mask_rcnn()
    config.model.detector = "cascade_rcnn"
    return config

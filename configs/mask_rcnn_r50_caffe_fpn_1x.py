"""Mask R-CNN, Caffe-style ResNet-50 FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    # Weights of this style expect BGR pixels; the standard deviation is folded into the first convolution, hence 1.
    config.model.image.update(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), bgr=True)
    config.model.backbone.update(style="caffe", norm_affine_trainable=False)
    config.train.init_from = "imagenet-r50-caffe"
    return config

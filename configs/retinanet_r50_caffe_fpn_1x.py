"""RetinaNet with the settings of Detectron2: a Caffe-style backbone, a ReLU before P7, a smoothed normaliser."""

from awsdet import config as base


def get_config():
    config = base.retinanet()
    # Weights of this style take BGR pixels whose standard deviation is folded into the first convolution.
    config.model.image.update(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), bgr=True)
    config.model.backbone.update(style="caffe", norm_affine_trainable=False)
    config.model.fpn.relu_before_extra_convs = True
    config.model.retina_head.normalizer_momentum = 0.9
    return config

"""The recipe for long training from random weights with large-scale jitter: Detectron2's new baselines."""

IMAGES = 64  # per update
_NORM = "sync_batch_norm"


def large_scale_jitter(config, epochs=100):
    """Gives a config of one of the two-stage families the recipe, and returns it.

    Detectron2, configs/new_baselines/mask_rcnn_R_50_FPN_{100,200,400}ep_LSJ.py: random weights, nothing frozen, batch
    norm over all ranks in backbone, pyramid and heads, two convolutions in the RPN, four and a dense layer in the box
    head, images jittered by 0.1 to 2 on a square of 1024 px. Its ResNet is Caffe-style, its pixels are BGR. Evaluation
    is at 800/1333.

    Its runs have 184,375 updates of 64 images per 100 epochs: 100.6 passes through the 117,266 images of COCO that have
    objects, on which it trains. Here an epoch is one such pass, so 100 epochs are 183,300 updates. The rate decays at
    the same shares of the run, and the warm-up takes the same share.

    Args:
        config: ConfigDict.
        epochs: passes through the images; Detectron2 has 100, 200 and 400.
    """
    model = config.model
    model.image.update(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), bgr=True)
    model.precision = "mixed_float16"
    model.backbone.update(style="caffe", frozen_stages=-1, norm=_NORM)
    model.fpn.norm = _NORM
    model.rpn.convs = 2
    model.box_head.update(convs=4, norm=_NORM, low_quality_matches=False)
    model.mask_head.norm = _NORM
    # 8 images in each of 8 processes; with others the learning rate follows.
    config.data.update(batch_size=8, canvas=1024, jitter_scales=(0.1, 2.0), boxes_from_masks=True, keep_empty=False)
    config.optimizer.update(learning_rate=0.1, base_batch=IMAGES, weight_decay=4e-5, compression="fp16")
    config.optimizer.rules = "*.gamma decay=0, *.beta decay=0"  # norms
    config.schedule.update(warmup_steps=500 * epochs // 100, warmup_ratio=0.067, decay_shares=(8 / 9, 26 / 27))
    config.train.epochs = epochs
    return config

"""RetinaNet: the reference's config translated into ours, and the comparisons that its file allows."""

from awsdet import config as config_lib
from awsdet.models.retinanet import STRIDES
from tests.parity import parts
from tests.parity.rows import head_rows
from tests.parity.two_stage import detection_rows

_LOSSES = {"class_loss": "loss_cls", "box_loss": "loss_bbox"}


def config(options):
    """Our config for a `model_config`, which is given as Options."""
    config = config_lib.retinanet()
    model = config.model
    options.skip("type")
    model.backbone.update(parts.backbone(options.section("backbone")))
    model.fpn.update(parts.fpn(options.section("neck"), 1, len(STRIDES)))
    head, train, test = (options.section(name) for name in ("bbox_head", "train_cfg", "test_cfg"))
    model.anchors.update(parts.anchors(head, STRIDES))
    model.retina_head.update(
        **_head(head),
        **parts.assigner(train),
        **_test(test),
    )
    train.section("sampler").one_of("type", "PseudoSampler")
    train.one_of("allowed_border", -1)
    parts.training(train)
    return config


def _head(options):
    options.one_of("type", "RetinaHead")
    options.one_of("norm_cfg", None)
    options.one_of("conv_cfg", None)
    options.skip("num_classes", "in_channels", "init_cfg", "train_cfg", "test_cfg")  # both belong to the model itself
    loss = options.section("loss_cls")
    loss.one_of("type", "FocalLoss")
    loss.one_of("use_sigmoid", True)
    loss.one_of("activated", False)
    loss.one_of("reduction", "mean")
    return {
        "convs": options.get("stacked_convs", 4),
        "channels": options.get("feat_channels", 256),
        "box_stds": parts.box_stds(options),
        "focal_alpha": float(loss.get("alpha", 0.25)),
        "focal_gamma": float(loss.get("gamma", 2.0)),
        "class_loss_weight": float(loss.get("loss_weight", 1.0)),
        **parts.box_loss(options),
    }


def _test(options):
    return {
        "pre_nms": options.get("nms_pre"),
        "min_size": float(options.get("min_bbox_size")),
        "score_threshold": float(options.get("score_thr")),
        **parts.final_nms(options),
        "max_detections": options.get("max_per_img"),
    }


def loss_key(name):
    """The reference's name of our loss term."""
    return _LOSSES[name]


def forward_rows(reference, pyramid):
    """Compares the outputs of the head."""
    output = reference.detector.bbox_head(pyramid)
    return head_rows(reference.arrays, pyramid, 3, cls_logits=output.logits, deltas=output.deltas)


def inference_rows(reference, pyramid):
    """Compares the detections."""
    size = reference.batch["image_size"]
    found = {key: value.numpy() for key, value in reference.detector.detect_in_pyramid(pyramid, size).items()}
    return [row for image in range(len(size)) for row in detection_rows(reference, found, image)[0]]


def target_rows(reference, outputs):
    """No rows: the files hold no targets of dense matching. Losses and gradients depend on them."""
    return []

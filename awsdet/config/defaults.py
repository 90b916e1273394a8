"""Every setting with its default: those of Mask R-CNN, ResNet-50 FPN, 1x schedule.

Defaults are those of mmdetection 3 unless a comment says otherwise. `awsdet.config` makes the other families from them.
"""

from ml_collections import ConfigDict


def model():
    """config.model: the detector and its parts."""
    model = ConfigDict()
    model.detector = "mask_rcnn"  # or faster_rcnn, mask_scoring_rcnn, cascade_rcnn, cascade_mask_rcnn, retinanet
    model.precision = "float32"  # or mixed_float16, mixed_bfloat16
    model.image = ConfigDict({"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "bgr": False})
    model.backbone = ConfigDict(
        {
            "name": "resnet",  # or resnet_v1d (deep stem, average-pool shortcuts), hrnet (has no depth and style)
            "depth": 50,  # 50, 101 or 152
            "style": "pytorch",  # stride on the 3x3 convolution (also called v1b); caffe: on the first 1x1
            "base_width": 64,  # channels of the stem; stages have 4, 8, 16 and 32 times as many
            "groups": 1,  # of the 3x3 convolutions; more make a ResNeXt
            "width_per_group": 64,  # ResNeXt: channels of a group in the first stage
            "branch_width": 32,  # hrnet: channels of its finest branch
            "frozen_stages": 1,  # -1: none; 0: stem; k: stem and stages 1..k
            "norm": "frozen_batch_norm",  # statistics fixed; or batch_norm (live), sync_batch_norm, group_norm
            "norm_affine_trainable": True,  # False: gamma and beta are fixed too (Detectron)
        }
    )
    model.fpn = ConfigDict(
        {
            "name": "fpn",  # or hrfpn, HRNet's own
            "channels": 256,
            "norm": "none",  # or batch_norm, sync_batch_norm, group_norm
            # What makes the levels beyond P5: none, subsampling; convolutions of C5 (on_input), of its lateral
            # (on_lateral) or of P5 (on_output).
            "extra_convs": "none",
            "relu_before_extra_convs": False,  # before the second of them
        }
    )
    model.anchors = ConfigDict({"scales": (8.0,), "ratios": (0.5, 1.0, 2.0)})  # height / width
    model.rpn = ConfigDict(
        {
            "channels": 256,
            "positive_iou": 0.7,
            "negative_iou": 0.3,
            "min_positive_iou": 0.3,
            "low_quality_matches": True,
            # The share of an anchor or RoI that must lie in a crowd region for it to be left out of the loss. The
            # reference never leaves any out (-1); ours ignores them, since a crowd is neither an object nor
            # background.
            "ignore_iof": 0.5,
            "allowed_border": -1.0,  # px; anchors that reach further out of the image take no part; negative: all do
            "sample_size": 256,
            "positive_fraction": 0.5,
            "box_loss": "l1",  # or smooth_l1, giou
            "smooth_l1_beta": 1.0 / 9.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (1.0, 1.0, 1.0, 1.0),
            "nms_iou": 0.7,
            "min_size": 0.0,
            "pre_nms_train": 2000,  # a level
            "post_nms_train": 1000,  # an image
            "pre_nms_test": 1000,
            "post_nms_test": 1000,
        }
    )
    model.box_head = ConfigDict(
        {
            "name": "shared",  # one trunk for classes and boxes; docs/extending.md adds others
            "convs": 0,  # before the dense layers: 0 makes the head with two of these, more the one with one
            "conv_channels": 256,
            "norm": "none",  # of the convolutions; or group_norm
            "channels": 1024,  # of the dense layers
            "class_agnostic": False,
            "pool_size": 7,
            "sampling_ratio": 0,  # samples a bin and axis; 0: adaptive, as many as feature pixels
            "aligned": True,
            "finest_scale": 56.0,  # RoIs of this size (px) and up to twice it are pooled from P2
            "positive_iou": 0.5,
            "negative_iou": 0.5,
            "min_positive_iou": 0.5,
            "low_quality_matches": True,
            "ignore_iof": 0.5,
            "sample_size": 512,
            "positive_fraction": 0.25,
            "box_loss": "l1",
            "smooth_l1_beta": 1.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (0.1, 0.1, 0.2, 0.2),
            "score_threshold": 0.05,
            **_suppression(),
        }
    )
    model.mask_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "norm": "none",  # of the convolutions; or group_norm
            "class_agnostic": False,
            "pool_size": 14,
            "sampling_ratio": 0,
            "loss_weight": 1.0,
            "threshold": 0.5,
        }
    )
    model.mask_iou_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "fc_layers": 2,
            "fc_channels": 1024,
            "loss_weight": 0.5,  # of the squared error of the IoU
            # A pixel counts as mask in the target IoU where its logit, not its probability, is above this. The
            # reference compares logits with 0.5; the paper's own code with 0.0, as masks are cut at test.
            "logit_threshold": 0.5,
        }
    )
    model.cascade = ConfigDict(  # of each stage; its box head is otherwise as box_head says
        {
            "ious": (0.5, 0.6, 0.7),  # from which on a RoI is positive, below which it is negative
            "box_stds": ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)),
            "loss_weights": (1.0, 0.5, 0.25),
        }
    )
    model.retina_head = ConfigDict(
        {
            "convs": 4,
            "channels": 256,
            "positive_iou": 0.5,
            "negative_iou": 0.4,
            "min_positive_iou": 0.0,
            "low_quality_matches": True,
            "ignore_iof": 0.5,
            "focal_alpha": 0.25,
            "focal_gamma": 2.0,
            "box_loss": "l1",
            "smooth_l1_beta": 1.0 / 9.0,
            "class_loss_weight": 1.0,
            "box_loss_weight": 1.0,
            "box_stds": (1.0, 1.0, 1.0, 1.0),
            # 0: losses are divided by the positives of the batch. Else by their running mean over the steps, of which
            # this share is kept at each (Detectron2: 0.9).
            "normalizer_momentum": 0.0,
            "pre_nms": 1000,  # a level, at test
            "min_size": 0.0,
            "score_threshold": 0.05,
            **_suppression(),
        }
    )
    return model


def _suppression():
    return {
        "nms_iou": 0.5,
        "nms_method": "hard",  # or linear, gaussian: Soft-NMS
        "nms_sigma": 0.5,  # of gaussian
        "nms_min_score": 1e-3,  # Soft-NMS: a box goes when its score was lowered to this
        "max_detections": 100,
    }


def data():
    """config.data: records, sizes, augmentation."""
    return ConfigDict(
        {
            "train_records": "",  # folder that `awsdet convert` wrote
            "train_split": "train",
            "eval_records": "",  # empty: the same folder as train_records
            "eval_split": "val",
            "batch_size": 2,  # images per process
            "eval_batch_size": 2,
            "max_long_side": 1333,  # px, in training and evaluation
            "eval_short_side": 800,  # px
            "pad_multiple": 32,  # batches are padded to multiples of this; itself a multiple of 32
            "keep_empty": True,  # train on images without objects too
            "reader_threads": 0,  # 0: one per core
            # Augmentation, of training alone; docs/data.md has the rules. As mmdetection's and Detectron2's default.
            "flip_probability": 0.5,
            "short_sides": (800,),  # px; one of these is drawn for each image
            "short_side_range": (0, 0),  # instead: any number from the first to the second, as in (640, 800); 0, 0: off
            # Crops a share of height and width, drawn between these and 1, before the resize; 1, 1: off.
            "crop": (1.0, 1.0),
            "crop_keeps_object": False,  # a crop then holds the centre of one of the image's objects, drawn at random
            "canvas": 0,  # px; large-scale jitter on a square of this side, as in 1024, instead of short_sides; 0: off
            "jitter_scales": (0.1, 2.0),  # with a canvas: the long side is this much of it
            "min_visible": 0.0,  # objects of whose box a crop leaves a smaller share are dropped
            "brightness": 0.0,  # 0.4: a factor between 0.6 and 1.4 is drawn; 0: off; so too the next two
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,  # 0.1: turned by a share of the colour circle between -0.1 and 0.1; 0: off
        }
    )


def optimizer():
    """config.optimizer."""
    return ConfigDict(
        {
            "name": "sgd",  # or novograd, lamb
            "learning_rate": 0.02,  # for base_batch images a step
            "base_batch": 16,
            "scale_learning_rate": True,  # by images a step / base_batch
            "momentum": 0.9,  # beta 1 of novograd and lamb
            # Of novograd and lamb: share of the second moment that a step keeps; 0: that of their papers, 0.98 for
            # novograd (arXiv:1905.11286) and 0.999 for lamb (arXiv:1904.00962).
            "beta_2": 0.0,
            "weight_decay": 1e-4,
            "clip_norm": 0.0,  # global norm; 0: off
            "ema_decay": 0.0,  # 0: off
        }
    )


def schedule():
    """config.schedule: of the learning rate."""
    return ConfigDict(
        {
            "name": "step",  # or cosine
            "warmup_steps": 500,
            "warmup_ratio": 0.001,
            "decay_epochs": (8, 11),
            "decay_factor": 0.1,
            "final_ratio": 0.0,  # cosine: share of the learning rate that is left at the end
        }
    )


def train():
    """config.train: how long, what is kept, what is logged."""
    return ConfigDict(
        {
            "epochs": 12,
            "max_steps": 0,  # stop after so many steps; 0: epochs decide
            "accumulate_steps": 1,
            "loss_normalizer": "process",  # or global: summed over the ranks
            "init_from": "",  # a run, a checkpoint or a file of weights (docs/weights.md): where training starts from
            # Frozen layers keep the weights they start with; without init_from those are random, and a run is refused
            # unless this is set.
            "allow_random_frozen": False,
            "checkpoint_every_steps": 0,  # 0: at the end of each epoch only
            "keep_last": 3,
            "keep_best": True,
            "evaluate_every_epochs": 1,  # 0: never
            "log_every_steps": 50,
            "log_metrics": False,  # accuracies and the like in the log's lines too; metrics.jsonl always has them
            "tensorboard": True,
            "pictures": 8,  # images drawn beside their ground truth at the end
            "box_ap_target": 0.0,  # stop once both are met; 0: no target
            "mask_ap_target": 0.0,
            "stall_seconds": 600,  # a rank that keeps the others waiting longer ends the job
            "deterministic": False,
        }
    )

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
            "depth": 50,  # 14, 26, 50, 101 or 152; 14 and 26 are for trials and small devices
            "style": "pytorch",  # stride on the 3x3 convolution (also called v1b); caffe: on the first 1x1
            "base_width": 64,  # channels of the stem; stages have 4, 8, 16 and 32 times as many
            "groups": 1,  # of the 3x3 convolutions; more than 1 makes a ResNeXt
            "width_per_group": 64,  # ResNeXt: channels per group in the first stage
            "branch_width": 32,  # hrnet: channels of its finest branch
            "frozen_stages": 1,  # -1: none; 0: stem; k: stem and stages 1..k
            "norm": "frozen_batch_norm",  # fixed statistics; or batch_norm (live), sync_batch_norm, group_norm
            "norm_affine_trainable": True,  # False: gamma and beta are fixed too (Detectron)
        }
    )
    model.fpn = ConfigDict(
        {
            "name": "fpn",  # or hrfpn, HRNet's own
            "channels": 256,
            "norm": "none",  # or batch_norm, sync_batch_norm, group_norm
            # What makes the levels beyond P5. none: subsampling. on_input, on_lateral, on_output: convolutions, of C5,
            # of its lateral or of P5.
            "extra_convs": "none",
            "relu_before_extra_convs": False,  # a ReLU before the second of these convolutions
        }
    )
    model.anchors = ConfigDict({"scales": (8.0,), "ratios": (0.5, 1.0, 2.0)})  # height / width
    model.rpn = ConfigDict(
        {
            "convs": 1,  # 3x3 convolutions before the two outputs
            "channels": 256,
            "positive_iou": 0.7,
            "negative_iou": 0.3,
            "min_positive_iou": 0.3,
            "low_quality_matches": True,
            # An anchor or RoI of which more than this share lies in a crowd region is left out of the loss, since a
            # crowd is neither an object nor background. -1: none is left out, as in the reference.
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
            "pre_nms_train": 2000,  # per level
            "post_nms_train": 1000,  # per image
            # How many of these remain of all images of a process together, in training (Detectron); 0: all.
            "post_nms_batch": 0,
            "pre_nms_test": 1000,
            "post_nms_test": 1000,
        }
    )
    model.box_head = ConfigDict(
        {
            "name": "shared",  # one trunk for classes and boxes; docs/extending.md adds others
            "convs": 0,  # before the dense layers; with 0 there are two dense layers, otherwise one
            "conv_channels": 256,
            "norm": "none",  # of the convolutions; or batch_norm, sync_batch_norm, group_norm
            "channels": 1024,  # of the dense layers
            "class_agnostic": False,
            "pool_size": 7,
            "sampling_ratio": 0,  # samples per bin and axis; 0: as many as the bin has feature pixels
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
            "norm": "none",  # of the convolutions; or batch_norm, sync_batch_norm, group_norm
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
            # A pixel counts as mask in the target IoU if its logit, not its probability, is above this. The reference
            # compares logits with 0.5. The paper's own code compares them with 0.0, at which masks are cut at test.
            "logit_threshold": 0.5,
        }
    )
    model.cascade = ConfigDict(  # one value per stage; otherwise each box head is as box_head says
        {
            "ious": (0.5, 0.6, 0.7),  # a RoI is positive from this IoU on, and negative below it
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
            # 0: losses are divided by the number of positives in the batch. Otherwise by its running mean over the
            # steps, of which each step keeps this share (Detectron2: 0.9).
            "normalizer_momentum": 0.0,
            "pre_nms": 1000,  # per level, at test
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
        "nms_min_score": 1e-3,  # Soft-NMS: a box is dropped when its score has fallen to this
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
            "batch_size": 2,  # images per process; 0: their share of global_batch_size
            # Images per update, over all processes and accumulated steps; a run that has another number is refused.
            # 0: whatever the processes make of batch_size.
            "global_batch_size": 0,
            "eval_batch_size": 2,
            "max_long_side": 1333,  # px, in training and evaluation
            "eval_short_side": 800,  # px
            "pad_multiple": 32,  # batches are padded to multiples of this; itself a multiple of 32
            # Training batches are padded to one of few sizes, and images of like shape share batches: "auto" makes at
            # most 8 sizes of the records and the sides above; or they are given, as in "800x1344,1344x800".
            "padded_sizes": "",  # empty: off; on GPUs "auto" is better (docs/gpu.md)
            "keep_empty": True,  # train on images without objects too
            "reader_threads": 0,  # 0: one per core
            # Augmentation, in training only; docs/data.md has the rules. Defaults as in mmdetection and Detectron2.
            "flip_probability": 0.5,
            "short_sides": (800,),  # px; one of these is drawn per image
            "short_side_range": (0, 0),  # or any number in a range, as in (640, 800), is drawn; 0, 0: off
            # Before the resize, crops to a share of the height and a share of the width, each drawn between its value
            # here and 1; 1, 1: off.
            "crop": (1.0, 1.0),
            "crop_keeps_object": False,  # True: a crop holds the centre of one of the image's objects, drawn at random
            "canvas": 0,  # px; side of the square for large-scale jitter, which replaces short_sides; say 1024; 0: off
            "jitter_scales": (0.1, 2.0),  # with a canvas: length of the long side, as a share of the canvas
            "min_visible": 0.0,  # an object is dropped if a crop leaves less than this share of its box
            "boxes_from_masks": False,  # True: objects that a crop cuts get the box around what is left of their mask
            "copy_paste": 0.0,  # probability that objects of another image are pasted on; needs a canvas; 0: off
            "copy_paste_objects": 100,  # with copy_paste: how many at most
            "brightness": 0.0,  # 0.4: a factor between 0.6 and 1.4 is drawn; 0: off; contrast and saturation alike
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,  # 0.1: turns hues by between -0.1 and 0.1 of the colour circle; 0: off
        }
    )


def optimizer():
    """config.optimizer."""
    return ConfigDict(
        {
            "name": "sgd",  # or adamw, novograd, lamb
            "learning_rate": 0.02,  # for base_batch images per update
            "base_batch": 16,
            "scale_learning_rate": True,  # by images per update / base_batch
            "momentum": 0.9,  # beta 1 of adamw, novograd and lamb
            # Not of sgd: share of the second moment that each update keeps. 0: the value of the paper, 0.999 for adamw
            # (arXiv:1711.05101), 0.98 for novograd (arXiv:1905.11286) and 0.999 for lamb (arXiv:1904.00962).
            "beta_2": 0.0,
            "weight_decay": 1e-4,
            # Of sgd and adamw: factors of the rate and of the decay of some variables, by patterns of their names, as
            # in "*.gamma decay=0, backbone.* rate=0.1" (docs/recipes.md). Empty: all are alike.
            "rules": "",
            # Of sgd and adamw: the rate of a stage of the backbone, as a share of that of the stage after it; the necks
            # and heads have the whole rate. 1: off.
            "layer_decay": 1.0,
            "clip_norm": 0.0,  # global norm; 0: off
            "ema_decay": 0.0,  # 0: off
            "compression": "none",  # or fp16: processes send each other gradients as float16 (docs/gpu.md)
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
            # Instead of decay_epochs: shares of the whole run after which the rate decays, as in 0.67,0.92. 0: off.
            "decay_shares": (0.0,),
            # Instead of both: updates after which the rate decays, as in 12000,16000. 0: off.
            "decay_updates": (0,),
            "decay_factor": 0.1,
            "final_ratio": 0.0,  # cosine: share of the peak learning rate that is left at the end
        }
    )


def train():
    """config.train: how long, what is kept, what is logged."""
    return ConfigDict(
        {
            "epochs": 12,
            "max_steps": 0,  # stop after this many steps; 0: epochs decide
            "accumulate_steps": 1,
            "loss_normalizer": "process",  # or global: summed over the ranks
            # What training starts from: a name of pretrained weights (awsdet weights --list), a run, a checkpoint or a
            # file of weights (docs/weights.md). Empty, or "scratch" on the command line: random values.
            "init_from": "",
            # Frozen layers keep the weights they start with. Without init_from these are random, so a run is refused
            # unless this is set.
            "allow_random_frozen": False,
            "checkpoint_every_steps": 0,  # 0: at the end of each epoch only
            # In an elastic run: how many steps are lost at most if a process or its host is. 0: those since the last
            # checkpoint (docs/elastic.md).
            "commit_every_steps": 100,
            "keep_last": 3,
            "keep_best": True,
            "keep_best_count": 1,  # with keep_best: how many of the best, as checkpoints/best, best-2, best-3, …
            "evaluate_every_epochs": 1,  # 0: never
            # How many evaluations there are at most, evenly spread over the run, each with a checkpoint; for many short
            # epochs. 0: no limit, and a checkpoint after each epoch.
            "max_evaluations": 0,
            # An evaluation of so many images or more is scored by another process while training goes on; for the score
            # of the last one the run waits. The metrics arrive some steps later, and belong to the evaluated step. 0:
            # training always waits.
            "score_aside_from": 500,
            # Scores each evaluation with pycocotools too, and ends the run if a number differs by more than 1e-12.
            "official_metric": False,
            "log_every_steps": 50,
            "log_metrics": False,  # show accuracies and the like in the log too; metrics.jsonl always has them
            "tensorboard": True,
            # Address of an MLflow server or store, as in http://host:5000 or file:/runs/mlflow, that gets settings and
            # metrics. Empty: none. The experiment is made if it does not exist.
            "mlflow": "",
            "mlflow_experiment": "awsdet",
            # The first and the last step, counted from 1, that TensorFlow's profiler traces on rank 0, as in 100,110;
            # docs/following.md. 0, 0: none.
            "profile_steps": (0, 0),
            "pictures": 8,  # images drawn beside their ground truth at the end
            "box_ap_target": 0.0,  # stop once this and mask_ap_target are met; 0: no target
            "mask_ap_target": 0.0,
            "stall_seconds": 600,  # if a rank keeps the others waiting for longer, the job ends
            # On GPUs for which TensorFlow has no machine code (H100), one process per host compiles its kernels before
            # the ranks start; this is how long it may take, and the others wait (docs/gpu.md). 0: the ranks compile.
            "warm_seconds": 7200,
            "deterministic": False,
            # File for the lines of an MLPerf result, and what its submission_… lines say (docs/mlperf.md). Empty: off.
            "mlperf_log": "",
            "mlperf_org": "not submitted",
            "mlperf_platform": "not submitted",
            "mlperf_division": "closed",  # or open
            "mlperf_status": "research",  # or cloud, onprem, preview
        }
    )

"""Translates the parts that every reference model has into our settings: functions from Options to a dict."""


def backbone(options):
    """The settings of config.model.backbone."""
    kind = options.one_of("type", "ResNet", "ResNetV1d", "ResNeXt")
    options.one_of("num_stages", 4)
    options.one_of("out_indices", [0, 1, 2, 3], (0, 1, 2, 3))
    for name, value in (("deep_stem", False), ("avg_down", False), ("dcn", None), ("plugins", None)):
        options.one_of(name, value)
    options.one_of("conv_cfg", None)
    options.skip("init_cfg", "pretrained", "with_cp", "zero_init_residual")
    norm = options.section("norm_cfg")
    norm.one_of("type", "BN")
    width = options.get("base_channels", 64)
    options.one_of("stem_channels", None, width)
    live = not options.get("norm_eval", True)
    grouped = {}
    if kind == "ResNeXt":
        grouped = {"groups": options.get("groups", 1), "width_per_group": options.get("base_width", 4)}
    return {
        "name": "resnet_v1d" if kind == "ResNetV1d" else "resnet",
        **grouped,
        "depth": options.get("depth"),
        "style": options.get("style", "pytorch"),
        "base_width": width,
        "frozen_stages": options.get("frozen_stages", -1),
        "norm": "batch_norm" if live else "frozen_batch_norm",
        "norm_affine_trainable": norm.get("requires_grad", True),
    }


def images(options):
    """Reads the options of image preparation. The file holds normalised, padded images, so few of them matter."""
    preprocessor = options.section("data_preprocessor")
    preprocessor.skip("type", "mean", "std", "bgr_to_rgb", "rgb_to_bgr", "pad_mask", "mask_pad_value", "pad_value")
    preprocessor.one_of("pad_size_divisor", 1, 32)
    options.skip("init_cfg")


def box_stds(options):
    """The coder's target_stds, a tuple. Its other options must match our coder."""
    coder = options.section("bbox_coder")
    coder.one_of("type", "DeltaXYWHBBoxCoder")
    coder.one_of("target_means", [0.0] * 4, [0] * 4)
    coder.one_of("clip_border", True)
    coder.one_of("add_ctr_clamp", False)
    coder.skip("ctr_clamp")
    return tuple(map(float, coder.get("target_stds", (1.0,) * 4)))


def box_loss(options):
    """From the `loss_bbox` of a head: box_loss, smooth_l1_beta, box_loss_weight."""
    loss = options.section("loss_bbox")
    kind = loss.one_of("type", "SmoothL1Loss", "L1Loss", "GIoULoss")
    loss.one_of("reduction", "mean")
    loss.one_of("eps", 1e-6)  # of GIoU
    options.one_of("reg_decoded_bbox", kind == "GIoULoss")  # what is compared: boxes or deltas
    return {
        "box_loss": {"L1Loss": "l1", "SmoothL1Loss": "smooth_l1", "GIoULoss": "giou"}[kind],
        "smooth_l1_beta": float(loss.get("beta", 1.0)),
        "box_loss_weight": float(loss.get("loss_weight", 1.0)),
    }


def cross_entropy(options, name, **fixed):
    """The weight of the cross entropy loss `name`. `fixed` are options that it must have, such as use_sigmoid=True."""
    loss = options.section(name)
    loss.one_of("type", "CrossEntropyLoss")
    loss.one_of("reduction", "mean")
    loss.one_of("class_weight", None)
    for option in ("use_sigmoid", "use_mask"):
        if loss.get(option, False) != fixed.get(option, False):
            raise ValueError(f"{name} has {option} = {loss.get(option, False)}; ours has {fixed.get(option, False)}")
    loss.skip("avg_non_ignore", "ignore_index")  # of labels that are ignored; the files have none
    return float(loss.get("loss_weight", 1.0))


def assigner(options):
    """From an `assigner` (MaxIoUAssigner): the settings of `matching.match`."""
    rule = options.section("assigner")
    rule.one_of("type", "MaxIoUAssigner")
    rule.one_of("gt_max_assign_all", True)
    rule.skip("gpu_assign_thr", "ignore_wrt_candidates")  # the latter: of ignored regions, which the files have none of
    rule.section("iou_calculator").one_of("type", "BboxOverlaps2D")
    return {
        "positive_iou": float(rule.get("pos_iou_thr")),
        "negative_iou": float(rule.get("neg_iou_thr")),
        "min_positive_iou": float(rule.get("min_pos_iou", 0.0)),
        "low_quality_matches": rule.get("match_low_quality", True),
        "ignore_iof": float(rule.get("ignore_iof_thr", -1)),
    }


def sampler(options, add_ground_truth):
    """From a `sampler` (RandomSampler): sample_size, positive_fraction."""
    rule = options.section("sampler")
    rule.one_of("type", "RandomSampler")
    rule.one_of("neg_pos_ub", -1)
    rule.one_of("add_gt_as_proposals", add_ground_truth)
    return {"sample_size": rule.get("num"), "positive_fraction": float(rule.get("pos_fraction"))}


def training(options):
    """Checks the other options of a `train_cfg`, beside its assigner and sampler."""
    options.one_of("pos_weight", -1, 0, 1, 1.0)  # the weight of positives in the classification; <= 0: 1
    options.skip("debug")


def hard_nms(options):
    """The IoU threshold of an `nms` section, which must be hard NMS."""
    nms = options.section("nms")
    nms.one_of("type", "nms")
    nms.one_of("class_agnostic", False)
    nms.skip("split_thr")  # affects how it is computed, not the result
    return float(nms.get("iou_threshold"))


def final_nms(options):
    """From the `nms` section of a test_cfg: nms_iou, and the settings of Soft-NMS if it is chosen."""
    nms = options.section("nms")
    if nms.one_of("type", "nms", "soft_nms") == "nms":
        return {"nms_iou": hard_nms(options)}
    nms.one_of("class_agnostic", False)
    nms.skip("split_thr")
    return {
        "nms_iou": float(nms.get("iou_threshold")),
        "nms_method": nms.one_of("method", "linear", "gaussian"),
        "nms_sigma": float(nms.get("sigma", 0.5)),
        "nms_min_score": float(nms.get("min_score", 1e-3)),
    }


def head_norm(options):
    """From the `norm_cfg` of a neck or head, which may be missing."""
    if "norm_cfg" not in options:
        options.skip("norm_cfg")
        return "none"
    norm = options.section("norm_cfg")
    norm.one_of("type", "GN")
    norm.one_of("num_groups", 32)
    norm.one_of("requires_grad", True)
    return "group_norm"


def fpn(options, start_level, num_outs):
    """The settings of config.model.fpn. `start_level` and `num_outs` are those of our detector."""
    options.one_of("type", "FPN")
    options.one_of("act_cfg", None)
    options.one_of("conv_cfg", None)
    options.one_of("no_norm_on_lateral", False)
    options.section("upsample_cfg").one_of("mode", "nearest")
    options.one_of("end_level", -1)
    options.skip("in_channels", "init_cfg")
    for name, ours in (("start_level", start_level), ("num_outs", num_outs)):
        theirs = options.get(name, 0)
        if theirs != ours:
            raise ValueError(f"neck.{name} is {theirs}; our detector of this kind has {ours}")
    extra = options.one_of("add_extra_convs", False, True, "on_input", "on_lateral", "on_output")
    return {
        "channels": options.get("out_channels"),
        "norm": head_norm(options),
        "extra_convs": {False: "none", True: "on_input"}.get(extra, extra),
        "relu_before_extra_convs": options.get("relu_before_extra_convs", False),
    }


def anchors(options, strides):
    """The settings of config.model.anchors. `strides` are those of our detector."""
    generator = options.section("anchor_generator")
    generator.one_of("type", "AnchorGenerator")
    generator.one_of("scale_major", True)
    generator.one_of("center_offset", 0.0)
    generator.one_of("centers", None)
    generator.one_of("use_box_type", False)
    if tuple(generator.get("strides")) != tuple(strides):
        raise ValueError(f"anchor strides are {generator.get('strides')}; our detector of this kind has {strides}")
    if generator.get("base_sizes", None) not in (None, list(strides)):
        raise ValueError(f"anchor base_sizes are {generator.get('base_sizes')}; ours are the strides")
    base, octaves = generator.get("octave_base_scale", None), generator.get("scales_per_octave", None)
    scales = [base * 2 ** (k / octaves) for k in range(octaves)] if octaves else generator.get("scales")
    generator.skip("scales")
    return {"scales": tuple(map(float, scales)), "ratios": tuple(map(float, generator.get("ratios")))}

"""Tables of other systems' names: where each array of a tensorpack, Keras or Detectron file belongs.

Each function yields (key in the file, mmdetection's name, change). `change` is a function that converts the array to
mmdetection's layout and order: the background is the last class, and has no boxes. The tables list every name that a
ResNet of any depth and its detectors can have; a file has some of them.
"""

import re
from typing import NamedTuple

import numpy as np

_MOST_BLOCKS = 36  # in a stage: the third one of ResNet-152
_MOST_CONVS = 8  # convolutions in a head
_PARTS = ("conv1", "conv2", "conv3", "downsample")
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
CASCADE_STAGES = 3


class _Place(NamedTuple):
    """A convolution of the backbone and its normalisation, with mmdetection's names."""

    stage: int  # 1 to 4; 0 is the stem
    block: int
    part: str  # conv1, conv2, conv3, downsample
    conv: str
    norm: str


def _backbone(norm="bn"):
    """Yields all _Places. `norm`: bn or gn."""
    yield _Place(0, 0, "conv1", "backbone.conv1", f"backbone.{norm}1")
    for stage in range(1, 5):
        for block in range(_MOST_BLOCKS):
            path = f"backbone.layer{stage}.{block}"
            for number in (1, 2, 3):
                yield _Place(stage, block, f"conv{number}", f"{path}.conv{number}", f"{path}.{norm}{number}")
            yield _Place(stage, block, "downsample", f"{path}.downsample.0", f"{path}.downsample.1")


# ------------------------------------------------------------------------------------------------------------- changes


def same(array):
    return array


def hwio(array):
    """TensorFlow's convolution -> OIHW."""
    return array.transpose(3, 2, 0, 1)


def transposed(array):
    return array.T


def background_last(array):
    """Moves the row of the background from the first to the last place."""
    return np.concatenate([array[1:], array[:1]])


def without_background(array):
    return array[1:]


def without_background_boxes(array):
    """Drops the background's four rows. A class-agnostic head has only four rows, and keeps them."""
    return array[4:] if len(array) > 4 else array


def size_major_anchors(array):
    """Reorders the rows of 9 anchors, with one or more outputs each, from size-major to mmdetection's ratio-major."""
    grouped = array.reshape(3, 3, -1, *array.shape[1:])
    return grouped.swapaxes(0, 1).reshape(array.shape)


# ---------------------------------------------------------------------------------------------------------- tensorpack


def tensorpack(keys):
    """npz of tensorpack: convolutions are HWIO, dense layers (in, out), RoI features flattened channels first."""
    names = {"gamma": "weight", "beta": "bias", "mean/EMA": "running_mean", "variance/EMA": "running_var"}
    for norm in ("bn", "gn"):
        for place in _backbone(norm):
            part = place.part.replace("downsample", "convshortcut")
            source = f"group{place.stage - 1}/block{place.block}/{part}" if place.stage else "conv0"
            if norm == "bn":
                yield f"{source}/W", f"{place.conv}.weight", hwio
            for theirs, ours in names.items():
                yield f"{source}/{norm}/{theirs}", f"{place.norm}.{ours}", same
    for level in range(2, 6):
        for source, path in (
            (f"fpn/lateral_1x1_c{level}", f"neck.lateral_convs.{level - 2}.conv"),
            (f"fpn/posthoc_3x3_p{level}", f"neck.fpn_convs.{level - 2}.conv"),
        ):
            yield from _layer(source, path, hwio)
    for source, path in (("conv0", "rpn_conv"), ("class", "rpn_cls"), ("box", "rpn_reg")):
        yield from _layer(f"rpn/{source}", f"rpn_head.{path}", hwio)
    yield from _tensorpack_heads(keys)


def _tensorpack_heads(keys):
    cascade = any(key.startswith("cascade_rcnn_stage1/") for key in keys)
    stages = [(f"cascade_rcnn_stage{k + 1}", f"{k}.", "head/") for k in range(CASCADE_STAGES)]
    for source, number, folder in stages if cascade else [("fastrcnn", "", "")]:
        head = f"roi_head.bbox_head.{number}"
        yield from _layer(f"{source}/{folder}fc6", f"{head}shared_fcs.0", transposed)
        yield from _layer(f"{source}/{folder}fc7", f"{head}shared_fcs.1", transposed)
        yield from _layer(f"{source}/outputs/class", f"{head}fc_cls", transposed, background_last)
        yield from _layer(f"{source}/outputs/box", f"{head}fc_reg", transposed, without_background_boxes)
    for head in _mask_heads(cascade):
        for index in range(_MOST_CONVS):
            yield from _layer(f"maskrcnn/fcn{index}", f"{head}.convs.{index}.conv", hwio)
        yield from _layer(
            "maskrcnn/deconv", f"{head}.upsample", hwio
        )  # (height, width, out, in) -> (in, out, height, width)
        yield from _layer("maskrcnn/conv", f"{head}.conv_logits", hwio)


def _mask_heads(cascade):
    """The mask heads to fill. Our cascade has three and takes their mean: each becomes tensorpack's only one."""
    return [f"roi_head.mask_head.{k}" for k in range(CASCADE_STAGES)] if cascade else ["roi_head.mask_head"]


def _layer(source, path, layout, change=same):
    """The arrays W and b of one layer of tensorpack."""
    yield f"{source}/W", f"{path}.weight", lambda array: change(layout(array))
    yield f"{source}/b", f"{path}.bias", change


# --------------------------------------------------------------------------------------------------------------- Keras


def keras(keys):
    """h5 of keras.applications' ResNet (version 1), keys "layer/kind". `fold_keras` does the rest."""
    del keys
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for place in _backbone():
        number = "0" if place.part == "downsample" else place.part[-1]
        source = f"conv{place.stage + 1}_block{place.block + 1}_{number}" if place.stage else "conv1"
        yield f"{source}_conv/kernel", f"{place.conv}.weight", hwio
        yield f"{source}_conv/bias", f"{place.conv}.bias", same
        for theirs, ours in names.items():
            yield f"{source}_bn/{theirs}", f"{place.norm}.{ours}", same


# ----------------------------------------------------------------------------------------------------------- Detectron


def detectron(keys):
    """pkl of Caffe2's Detectron: backbones of MSRA and whole detectors. The background is the first class."""
    del keys
    parts = dict(zip(_PARTS, ("branch2a", "branch2b", "branch2c", "branch1")))
    names = {"s": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    names.update({"running_mean": "running_mean", "running_var": "running_var", "rm": "running_mean"})
    names.update({"riv": "running_var"})
    for norm in ("bn", "gn"):
        for place in _backbone(norm):
            source = f"res{place.stage + 1}_{place.block}_{parts[place.part]}" if place.stage else "conv1"
            if norm == "bn":
                yield f"{source}_w", f"{place.conv}.weight", same
            for theirs, ours in names.items():
                stem = f"res_{source}" if not place.stage and norm == "bn" else source
                yield f"{stem}_{norm}_{theirs}", f"{place.norm}.{ours}", same
    for level in range(2, 6):
        for block in range(_MOST_BLOCKS):  # these layers are named after the last block of the stage
            blob, lateral = f"res{level}_{block}_sum", f"neck.lateral_convs.{level - 2}.conv"
            yield from _blob(f"fpn_inner_{blob}{'' if level == 5 else '_lateral'}", lateral)
            yield from _blob(f"fpn_{blob}", f"neck.fpn_convs.{level - 2}.conv")
    yield from _blob("conv_rpn_fpn2", "rpn_head.rpn_conv")  # shared by all levels
    yield from _blob("rpn_cls_logits_fpn2", "rpn_head.rpn_cls")
    yield from _blob("rpn_bbox_pred_fpn2", "rpn_head.rpn_reg")
    for index in range(_MOST_CONVS):
        yield from _blob(f"head_conv{index + 1}", f"roi_head.bbox_head.shared_convs.{index}.conv")
    yield from _blob("fc6", "roi_head.bbox_head.shared_fcs.0")
    yield from _blob("fc7", "roi_head.bbox_head.shared_fcs.1")
    yield from _blob("cls_score", "roi_head.bbox_head.fc_cls", background_last)
    yield from _blob("bbox_pred", "roi_head.bbox_head.fc_reg", without_background_boxes)
    for index in range(_MOST_CONVS):
        yield from _blob(f"_[mask]_fcn{index + 1}", f"roi_head.mask_head.convs.{index}.conv")
    yield from _blob("conv5_mask", "roi_head.mask_head.upsample")
    yield from _blob("mask_fcn_logits", "roi_head.mask_head.conv_logits", without_background)


def _blob(source, path, change=same):
    yield f"{source}_w", f"{path}.weight", change
    yield f"{source}_b", f"{path}.bias", change
    if path.endswith(".conv"):
        norm = f"{path.removesuffix('.conv')}.gn"
        yield f"{source}_gn_s", f"{norm}.weight", same
        yield f"{source}_gn_b", f"{norm}.bias", same


# ---------------------------------------------------------------------------------------------------------- Detectron2


def detectron2(keys):
    """pkl or pth of Detectron2: whole detectors, or only backbones. The classes are already in our order."""
    statistics = any(re.search(r"(stem\.conv1|res\d.*)\.norm\.running_var$", key) for key in keys)
    for prefix in ("", "backbone.", "backbone.bottom_up."):
        for place in _backbone("bn" if statistics else "gn"):
            part = place.part.replace("downsample", "shortcut")
            source = f"res{place.stage + 1}.{place.block}.{part}" if place.stage else "stem.conv1"
            yield f"{prefix}{source}.weight", f"{place.conv}.weight", same
            for kind in _BATCH_NORM:
                yield f"{prefix}{source}.norm.{kind}", f"{place.norm}.{kind}", same
    first = 2 if any(key.startswith("backbone.fpn_lateral2.") for key in keys) else 3  # RetinaNet begins at P3
    for level in range(first, 6):
        for source, path in (("lateral", "lateral_convs"), ("output", "fpn_convs")):
            yield from _torch_conv(f"backbone.fpn_{source}{level}", f"neck.{path}.{level - first}", keys)
    for index, level in enumerate((6, 7), start=3):
        yield from _torch(f"backbone.top_block.p{level}", f"neck.fpn_convs.{index}.conv")
    rpn = {"conv": "rpn_conv", "objectness_logits": "rpn_cls", "anchor_deltas": "rpn_reg"}
    rpn.update({f"conv.conv{index}": f"rpn_conv.{index}.conv" for index in range(_MOST_CONVS)})
    for source, path in rpn.items():
        yield from _torch(f"proposal_generator.rpn_head.{source}", f"rpn_head.{path}")
    yield from _detectron2_heads(keys)
    for source, path in (("cls_subnet", "cls_convs"), ("bbox_subnet", "reg_convs")):
        for index in range(_MOST_CONVS):
            yield from _torch(f"head.{source}.{2 * index}", f"bbox_head.{path}.{index}.conv")
    yield from _torch("head.cls_score", "bbox_head.retina_cls", size_major_anchors)
    yield from _torch("head.bbox_pred", "bbox_head.retina_reg", size_major_anchors)


def _detectron2_heads(keys):
    cascade = any(key.startswith("roi_heads.box_predictor.0.") for key in keys)
    for number in [f"{k}." for k in range(CASCADE_STAGES)] if cascade else [""]:
        head = f"roi_head.bbox_head.{number}"
        for index in range(_MOST_CONVS):
            yield from _torch_conv(f"roi_heads.box_head.{number}conv{index + 1}", f"{head}shared_convs.{index}", keys)
        for index in range(2):
            yield from _torch(f"roi_heads.box_head.{number}fc{index + 1}", f"{head}shared_fcs.{index}")
        yield from _torch(f"roi_heads.box_predictor.{number}cls_score", f"{head}fc_cls")
        yield from _torch(f"roi_heads.box_predictor.{number}bbox_pred", f"{head}fc_reg")
    for head in _mask_heads(cascade):
        for index in range(_MOST_CONVS):
            yield from _torch_conv(f"roi_heads.mask_head.mask_fcn{index + 1}", f"{head}.convs.{index}", keys)
        yield from _torch("roi_heads.mask_head.deconv", f"{head}.upsample")
        yield from _torch("roi_heads.mask_head.predictor", f"{head}.conv_logits")


def _torch(source, path, change=same):
    yield f"{source}.weight", f"{path}.weight", change
    yield f"{source}.bias", f"{path}.bias", change


def _torch_conv(source, path, keys):
    """A convolution, with a normalisation if there is one: a BatchNorm if `keys` have statistics, else a group norm."""
    yield from _torch(source, f"{path}.conv")
    if f"{source}.norm.running_var" not in keys:
        yield from _torch(f"{source}.norm", f"{path}.gn")
        return
    for kind in _BATCH_NORM:
        yield f"{source}.norm.{kind}", f"{path}.bn.{kind}", same


# ------------------------------------------------------------------------------------------------ what names leave open


def fold_keras(arrays, sources):
    """Adds biases of convolutions to the means of the BatchNorms after them, and Keras' epsilon to the variances.

    gamma * (x + bias - mean) / sqrt(variance + 1.001e-5) is our gamma * (x - mean') / sqrt(variance' + 1e-5).
    """
    for place in _backbone():
        bias, mean = f"{place.conv}.bias", f"{place.norm}.running_mean"
        if bias in arrays and mean in arrays:
            arrays[mean] = arrays[mean] - arrays.pop(bias)
            sources[mean] += f" - {sources.pop(bias)}"
        if f"{place.norm}.running_var" in arrays:
            arrays[f"{place.norm}.running_var"] = arrays[f"{place.norm}.running_var"] + np.float32(1e-8)


def fold_affine(arrays, sources):
    """Completes a BatchNorm that has only scale and offset: mean 0, and the variance that with our epsilon gives 1."""
    if "backbone.bn1.weight" not in arrays:  # group normalisation
        return
    for place in _backbone():
        scale = arrays.get(f"{place.norm}.weight")
        if scale is not None and f"{place.norm}.running_mean" not in arrays:
            arrays[f"{place.norm}.running_mean"] = np.zeros(scale.shape, np.float32)
            arrays[f"{place.norm}.running_var"] = np.full(scale.shape, 1.0 - 1e-5, np.float32)
            for kind in ("running_mean", "running_var"):
                sources[f"{place.norm}.{kind}"] = f"(folded into {sources[f'{place.norm}.weight']})"

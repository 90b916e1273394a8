"""The names and shapes in the files of the catalogue, written from what their authors' programs call their arrays.

They are made by rules of their own, not by those of `awsdet.weights`. `FILES`: name of the catalogue -> function that
returns Contents. A file holds one number per array, repeated, so that it is small; see `value_of`.
"""

import io
import pickle
import zlib
from typing import NamedTuple

import h5py
import numpy as np

from awsdet.weights.classes import COCO
from tests.weights import torch_files

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
NORM = ("weight", "bias", "running_mean", "running_var")


class Contents(NamedTuple):
    """shapes: name -> shape of what a detector takes over. others: of what it does not need. config: what the file says
    of its pixels, in the text of an mmdetection config; None if nothing. data: function (arrays, config) -> bytes."""

    shapes: dict
    others: dict
    config: str | None
    data: object


def value_of(name):
    """The number that all of an array consists of, 1 to 100."""
    return 1 + zlib.crc32(name.encode()) % 100


def norm(path, channels, kinds=NORM):
    return {f"{path}.{kind}": (channels,) for kind in kinds}


# --------------------------------------------------------------------------------------- torchvision's and OpenMMLab's


def bottlenecks(blocks, groups=1, width=64):
    """(stage, block, part, inputs, outputs, window, groups) of all convolutions beyond the stem."""
    inputs = 64
    for stage, count in enumerate(blocks, 1):
        planes = 64 * 2 ** (stage - 1)
        inner = planes * width // 64 * groups
        for block in range(count):
            yield stage, block, "conv1", inputs, inner, 1, 1
            yield stage, block, "conv2", inner, inner, 3, groups
            yield stage, block, "conv3", inner, 4 * planes, 1, 1
            if not block:
                yield stage, block, "downsample", inputs, 4 * planes, 1, 1
            inputs = 4 * planes


def torch_resnet(depth, groups=1, width=64, norm_name="bn", kinds=NORM, deep=False, prefix=""):
    """deep: a ResNet-D as OpenMMLab's classifiers name it."""
    found = {}
    if deep:
        for number, (ins, outs) in enumerate(((3, 32), (32, 32), (32, 64))):
            found[f"{prefix}stem.{number}.conv.weight"] = (outs, ins, 3, 3)
            found.update(norm(f"{prefix}stem.{number}.bn", outs, kinds))
    else:
        found[f"{prefix}conv1.weight"] = (64, 3, 7, 7)
        found.update(norm(f"{prefix}{norm_name}1", 64, kinds))
    for stage, block, part, ins, outs, window, parts in bottlenecks(DEPTHS[depth], groups, width):
        path = f"{prefix}layer{stage}.{block}"
        # The pooling of a shortcut is its layer 0, if it has a stride.
        first = int(deep and stage > 1)
        names = (part, part.replace("conv", norm_name))
        if part == "downsample":
            names = (f"downsample.{first}", f"downsample.{first + 1}")
        found[f"{path}.{names[0]}.weight"] = (outs, ins // parts, window, window)
        found.update(norm(f"{path}.{names[1]}", outs, kinds))
    return found


def counters(shapes):
    return {name.replace("running_var", "num_batches_tracked"): () for name in shapes if name.endswith("running_var")}


def torch_classifier(name="fc", features=2048):
    return {f"{name}.weight": (1000, features), f"{name}.bias": (1000,)}


def pth(arrays, config):
    """As torch.save writes arrays that were expanded from one number."""
    tensors = {}
    for index, (name, shape) in enumerate(arrays.items()):
        kind = np.int64 if name.endswith("tracked") else np.float32
        storage = torch_files.Storage(kind([value_of(name)]), str(index))
        tensors[name] = torch_files.tensor(storage, 0, shape, (0,) * len(shape))
    content = tensors if config is None else {"meta": {"config": config, "CLASSES": COCO}, "state_dict": tensors}
    return torch_files.zipped(torch_files.members(content))


PIXELS = (
    "img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)\n"
    "model = dict(backbone=dict(type='ResNet', depth=50, style='pytorch'))\n"
)


def torchvision(depth, **how):
    shapes = torch_resnet(depth, **how)
    return Contents(shapes, {**counters(shapes), **torch_classifier()}, None, pth)


def mmcls(depth, **how):
    shapes = torch_resnet(depth, prefix="backbone.", **how)
    return Contents(shapes, {**counters(shapes), **torch_classifier("head.fc")}, PIXELS, pth)


def group_norm():
    return Contents(torch_resnet(50, norm_name="gn", kinds=NORM[:2]), {}, None, pth)


# -------------------------------------------------------------------------------------------------------------- HRNet


def hrnet(width):
    """HRNetV2's classifier, with the names of its authors."""
    found, others = {}, {}

    def conv(path, norm_path, ins, outs, window, into=found):
        into[f"{path}.weight"] = (outs, ins, window, window)
        into.update(norm(norm_path, outs))

    conv("conv1", "bn1", 3, 64, 3)
    conv("conv2", "bn2", 64, 64, 3)
    for block in range(4):
        ins = 256 if block else 64
        for number, (i, o, w) in enumerate(((ins, 64, 1), (64, 64, 3), (64, 256, 1)), 1):
            conv(f"layer1.{block}.conv{number}", f"layer1.{block}.bn{number}", i, o, w)
    conv("layer1.0.downsample.0", "layer1.0.downsample.1", 64, 256, 1)
    before = [256]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        now = [width * 2**branch for branch in range(stage)]
        for branch, outs in enumerate(now):
            path = f"transition{stage - 1}.{branch}"
            if branch >= len(before):
                conv(f"{path}.0.0", f"{path}.0.1", before[-1], outs, 3)
            elif before[branch] != outs:
                conv(f"{path}.0", f"{path}.1", before[branch], outs, 3)
        for module in range(modules):
            for branch, outs in enumerate(now):
                for block in range(4):
                    path = f"stage{stage}.{module}.branches.{branch}.{block}"
                    for number in (1, 2):
                        conv(f"{path}.conv{number}", f"{path}.bn{number}", outs, outs, 3)
            for target in range(stage):
                for source in range(stage):
                    path = f"stage{stage}.{module}.fuse_layers.{target}.{source}"
                    if source > target:
                        conv(f"{path}.0", f"{path}.1", now[source], now[target], 1)
                    for step in range(target - source):
                        outs = now[target] if step == target - source - 1 else now[source]
                        conv(f"{path}.{step}.0", f"{path}.{step}.1", now[source], outs, 3)
        before = now
    for branch, outs in enumerate(before):
        path, inner = f"incre_modules.{branch}.0", 32 * 2**branch
        for number, (i, o, w) in enumerate(((outs, inner, 1), (inner, inner, 3), (inner, 4 * inner, 1)), 1):
            conv(f"{path}.conv{number}", f"{path}.bn{number}", i, o, w, others)
        conv(f"{path}.downsample.0", f"{path}.downsample.1", outs, 4 * inner, 1, others)
    for step in range(3):
        conv(f"downsamp_modules.{step}.0", f"downsamp_modules.{step}.1", 128 * 2**step, 256 * 2**step, 3, others)
        others[f"downsamp_modules.{step}.0.bias"] = (256 * 2**step,)
    conv("final_layer.0", "final_layer.1", 1024, 2048, 1, others)
    others["final_layer.0.bias"] = (2048,)
    return Contents(found, {**others, **counters({**found, **others}), **torch_classifier("classifier")}, None, pth)


# ------------------------------------------------------------------------------------------- MSRA, tensorpack and Keras


def msra(depth):
    """Caffe2's names, with the statistics, as Detectron2's logs show them."""
    found = {"conv1_w": (64, 3, 7, 7)}
    kinds = ("gamma", "beta", "running_mean", "running_var")
    found.update({f"res_conv1_bn_{kind}": (64,) for kind in kinds})
    branches = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "downsample": "branch1"}
    for stage, block, part, ins, outs, window, _ in bottlenecks(DEPTHS[depth]):
        path = f"res{stage + 1}_{block}_{branches[part]}"
        found[f"{path}_w"] = (outs, ins, window, window)
        found.update({f"{path}_bn_{kind}": (outs,) for kind in kinds})
    return Contents(found, {"conv1_b": (64,), "fc1000_w": (1000, 2048), "fc1000_b": (1000,)}, None, pkl)


def pkl(arrays, config):
    """Of bytes, since a pickle of NumPy cannot repeat a number."""
    del config
    content = {name: np.full(shape, value_of(name), np.int8) for name, shape in arrays.items()}
    whole = any(name.startswith("backbone.") for name in arrays)
    return pickle.dumps({"model": content, "__author__": "Detectron2 Model Zoo"} if whole else content, protocol=2)


def tensorpack():
    found = {"conv0/W": (7, 7, 3, 64)}
    kinds = ("gamma", "beta", "mean/EMA", "variance/EMA")
    found.update({f"conv0/bn/{kind}": (64,) for kind in kinds})
    for stage, block, part, ins, outs, window, _ in bottlenecks(DEPTHS[50]):
        path = f"group{stage - 1}/block{block}/{part.replace('downsample', 'convshortcut')}"
        found[f"{path}/W"] = (window, window, ins, outs)
        found.update({f"{path}/bn/{kind}": (outs,) for kind in kinds})
    return Contents(found, {"linear/W": (2048, 1000), "linear/b": (1000,)}, None, npz)


def npz(arrays, config):
    del config
    out = io.BytesIO()
    np.savez_compressed(out, **{name: np.full(shape, value_of(name), np.int8) for name, shape in arrays.items()})
    return out.getvalue()


def keras():
    """ResNet50 of Keras applications without its classifier; each layer's arrays are in two folders of its name."""
    found = {}
    kinds = ("gamma", "beta", "moving_mean", "moving_variance")

    def layer(name, ins, outs, window):
        found[f"{name}_conv/{name}_conv/kernel:0"] = (window, window, ins, outs)
        found[f"{name}_conv/{name}_conv/bias:0"] = (outs,)
        found.update({f"{name}_bn/{name}_bn/{kind}:0": (outs,) for kind in kinds})

    layer("conv1", 3, 64, 7)
    numbers = {"conv1": 1, "conv2": 2, "conv3": 3, "downsample": 0}
    for stage, block, part, ins, outs, window, _ in bottlenecks(DEPTHS[50]):
        layer(f"conv{stage + 1}_block{block + 1}_{numbers[part]}", ins, outs, window)
    return Contents(found, {}, None, h5)


def h5(arrays, config):
    del config
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, shape in arrays.items():  # a fill value takes no room
            file.create_dataset(name, shape, np.float32, chunks=shape, fillvalue=value_of(name))
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------- whole detectors


def layer(path, *shape):
    return {f"{path}.weight": shape, f"{path}.bias": (shape[0],)}


def mmdetection(kind):
    """A detector of 80 classes in mmdetection's names, and its config."""
    found = torch_resnet(50, prefix="backbone.")
    levels = {"retinanet": (512, 1024, 2048)}.get(kind, (256, 512, 1024, 2048))
    for index, ins in enumerate(levels):
        found.update(layer(f"neck.lateral_convs.{index}.conv", 256, ins, 1, 1))
        found.update(layer(f"neck.fpn_convs.{index}.conv", 256, 256, 3, 3))
    if kind == "retinanet":
        found.update(layer("neck.fpn_convs.3.conv", 256, 2048, 3, 3))
        found.update(layer("neck.fpn_convs.4.conv", 256, 256, 3, 3))
        for index in range(4):
            found.update(layer(f"bbox_head.cls_convs.{index}.conv", 256, 256, 3, 3))
            found.update(layer(f"bbox_head.reg_convs.{index}.conv", 256, 256, 3, 3))
        found.update(layer("bbox_head.retina_cls", 720, 256, 3, 3))
        found.update(layer("bbox_head.retina_reg", 36, 256, 3, 3))
    else:
        found.update(layer("rpn_head.rpn_conv", 256, 256, 3, 3))
        found.update(layer("rpn_head.rpn_cls", 3, 256, 1, 1))
        found.update(layer("rpn_head.rpn_reg", 12, 256, 1, 1))
        found.update(layer("roi_head.bbox_head.shared_fcs.0", 1024, 12544))
        found.update(layer("roi_head.bbox_head.shared_fcs.1", 1024, 1024))
        found.update(layer("roi_head.bbox_head.fc_cls", 81, 1024))
        found.update(layer("roi_head.bbox_head.fc_reg", 320, 1024))
    if kind == "mask_rcnn":
        for index in range(4):
            found.update(layer(f"roi_head.mask_head.convs.{index}.conv", 256, 256, 3, 3))
        found.update(layer("roi_head.mask_head.upsample", 256, 256, 2, 2))
        found.update(layer("roi_head.mask_head.conv_logits", 80, 256, 1, 1))
    return Contents(found, counters(found), PIXELS, pth)


def detectron2():
    """Mask R-CNN in Detectron2's names."""
    found = {"backbone.bottom_up.stem.conv1.weight": (64, 3, 7, 7)}
    found.update(norm("backbone.bottom_up.stem.conv1.norm", 64))
    for stage, block, part, ins, outs, window, _ in bottlenecks(DEPTHS[50]):
        path = f"backbone.bottom_up.res{stage + 1}.{block}.{part.replace('downsample', 'shortcut')}"
        found[f"{path}.weight"] = (outs, ins, window, window)
        found.update(norm(f"{path}.norm", outs))
    for level, ins in zip(range(2, 6), (256, 512, 1024, 2048)):
        found.update(layer(f"backbone.fpn_lateral{level}", 256, ins, 1, 1))
        found.update(layer(f"backbone.fpn_output{level}", 256, 256, 3, 3))
    found.update(layer("proposal_generator.rpn_head.conv", 256, 256, 3, 3))
    found.update(layer("proposal_generator.rpn_head.objectness_logits", 3, 256, 1, 1))
    found.update(layer("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1, 1))
    found.update(layer("roi_heads.box_head.fc1", 1024, 12544))
    found.update(layer("roi_heads.box_head.fc2", 1024, 1024))
    found.update(layer("roi_heads.box_predictor.cls_score", 81, 1024))
    found.update(layer("roi_heads.box_predictor.bbox_pred", 320, 1024))
    for index in range(1, 5):
        found.update(layer(f"roi_heads.mask_head.mask_fcn{index}", 256, 256, 3, 3))
    found.update(layer("roi_heads.mask_head.deconv", 256, 256, 2, 2))
    found.update(layer("roi_heads.mask_head.predictor", 80, 256, 1, 1))
    anchors = {f"proposal_generator.anchor_generator.cell_anchors.{level}": (3, 4) for level in range(5)}
    return Contents(found, {"pixel_mean": (3, 1, 1), "pixel_std": (3, 1, 1), **anchors}, None, pkl)


FILES = {
    "imagenet-r50": lambda: torchvision(50),
    "imagenet-r101": lambda: torchvision(101),
    "imagenet-r152": lambda: torchvision(152),
    "imagenet-x50": lambda: torchvision(50, groups=32, width=4),
    "imagenet-x101": lambda: torchvision(101, groups=32, width=8),
    "imagenet-r50-caffe": lambda: msra(50),
    "imagenet-r101-caffe": lambda: msra(101),
    "imagenet-r50-tensorpack": tensorpack,
    "imagenet-r50-rsb": lambda: mmcls(50),
    "imagenet-r50-keras": keras,
    "imagenet-r50-v1d": lambda: mmcls(50, deep=True),
    "imagenet-r101-v1d": lambda: mmcls(101, deep=True),
    "imagenet-r50-gn": group_norm,
    "imagenet-hrnet-w32": lambda: hrnet(32),
    "coco-mask-rcnn-r50-mmdetection": lambda: mmdetection("mask_rcnn"),
    "coco-faster-rcnn-r50-mmdetection": lambda: mmdetection("faster_rcnn"),
    "coco-retinanet-r50-mmdetection": lambda: mmdetection("retinanet"),
    "coco-mask-rcnn-r50-detectron2": detectron2,
}

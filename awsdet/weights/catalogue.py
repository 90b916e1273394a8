"""Pretrained weights that a run can start from by name: where each file is, and how to know that it is the right one.

The last eight digits in the names of torchvision's and OpenMMLab's files are the start of their SHA-256. If nobody
published a checksum, the one seen at the first download is kept beside the file, and the file must keep it.
"""

import difflib
import posixpath
import re
import urllib.parse
from typing import NamedTuple


class Entry(NamedTuple):
    """One file of weights.

    Attributes:
        name: what users call it.
        address: an https URL; the file keeps the last part of it as its name.
        size: bytes; None if unknown.
        licence: that of the project that published the weights.
        checksum: "sha256:" with the first digits or all of them, "md5:" with all digits; empty if none is published.
        preset: name of the kind of pixels that they expect (see `presets`).
        what: what the file holds.
    """

    name: str
    address: str
    size: int | None
    licence: str
    checksum: str
    preset: str
    what: str

    @property
    def file(self) -> str:
        """The name of the file."""
        return posixpath.basename(urllib.parse.urlsplit(self.address).path)


_TORCHVISION = "https://download.pytorch.org/models/"
_OPENMMLAB = "https://download.openmmlab.com/"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"


def _torchvision(name, file, size, what):
    return Entry(name, _TORCHVISION + file, size, "BSD-3-Clause", _digits(file), "torchvision", f"{what}, ImageNet")


def _openmmlab(name, path, preset, what):
    return Entry(name, _OPENMMLAB + path, None, "Apache-2.0", _digits(path), preset, what)


def _digits(file):
    return f"sha256:{re.search(r'-([0-9a-f]{8})[.]pth$', file)[1]}"


_ENTRIES = (
    _torchvision("imagenet-r50", "resnet50-0676ba61.pth", 102530333, "ResNet-50"),
    _torchvision("imagenet-r101", "resnet101-63fe2227.pth", None, "ResNet-101"),
    _torchvision("imagenet-r152", "resnet152-394f9c45.pth", None, "ResNet-152"),
    _torchvision("imagenet-x50", "resnext50_32x4d-7cdf4587.pth", 100441675, "ResNeXt-50-32x4d"),
    _torchvision("imagenet-x101", "resnext101_32x8d-8ba56ff5.pth", 356082095, "ResNeXt-101-32x8d"),
    Entry(
        "imagenet-r50-caffe",
        _DETECTRON2 + "ImageNetPretrained/MSRA/R-50.pkl",
        None,
        "MIT",
        "",
        "Detectron / MSRA",
        "ResNet-50 of MSRA, ImageNet",
    ),
    Entry(
        "imagenet-r101-caffe",
        _DETECTRON2 + "ImageNetPretrained/MSRA/R-101.pkl",
        None,
        "MIT",
        "",
        "Detectron / MSRA",
        "ResNet-101 of MSRA, ImageNet",
    ),
    Entry(
        "imagenet-r50-tensorpack",
        "https://models.tensorpack.com/FasterRCNN/ImageNet-R50-AlignPadding.npz",
        None,
        "Apache-2.0",
        "",
        "tensorpack",
        "ResNet-50 of tensorpack, ImageNet",
    ),
    _openmmlab(
        "imagenet-r50-rsb",
        "mmclassification/v0/resnet/resnet50_8xb256-rsb-a1-600e_in1k_20211228-20e21305.pth",
        "torchvision",
        "ResNet-50, ImageNet, 600 epochs (ResNet strikes back, A1)",
    ),
    Entry(
        "imagenet-r50-keras",
        _KERAS + "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        94765736,
        "MIT",
        "md5:4d473c1dd8becc155b73f8504c6f6626",
        "Keras applications",
        "ResNet-50 of Keras applications, ImageNet",
    ),
    _openmmlab(
        "imagenet-r50-v1d",
        "mmclassification/v0/resnet/resnetv1d50_b32x8_imagenet_20210531-db14775a.pth",
        "torchvision",
        "ResNet-50-D, ImageNet",
    ),
    _openmmlab(
        "imagenet-r101-v1d",
        "mmclassification/v0/resnet/resnetv1d101_b32x8_imagenet_20210531-6e13bcd3.pth",
        "torchvision",
        "ResNet-101-D, ImageNet",
    ),
    _openmmlab(
        "imagenet-r50-gn",
        "pretrain/third_party/resnet50_gn-9186a21c.pth",
        "Detectron, group normalisation",
        "ResNet-50 with group normalisation, ImageNet",
    ),
    _openmmlab(
        "imagenet-hrnet-w32",
        "pretrain/third_party/hrnetv2_w32-dc9eeb4f.pth",
        "torchvision",
        "HRNetV2-W32, ImageNet",
    ),
    _openmmlab(
        "coco-mask-rcnn-r50-mmdetection",
        "mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth",
        "torchvision",
        "Mask R-CNN, ResNet-50 FPN, 12 epochs of COCO",
    ),
    _openmmlab(
        "coco-faster-rcnn-r50-mmdetection",
        "mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth",
        "torchvision",
        "Faster R-CNN, ResNet-50 FPN, 12 epochs of COCO",
    ),
    _openmmlab(
        "coco-retinanet-r50-mmdetection",
        "mmdetection/v2.0/retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth",
        "torchvision",
        "RetinaNet, ResNet-50 FPN, 12 epochs of COCO",
    ),
    Entry(
        "coco-mask-rcnn-r50-detectron2",
        _DETECTRON2 + "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504.pkl",
        None,
        "CC BY-SA 3.0",
        "",
        "Detectron / MSRA",
        "Mask R-CNN, ResNet-50 FPN, 12 epochs of COCO",
    ),
)
ENTRIES = {entry.name: entry for entry in _ENTRIES}


def nearest(name: str) -> list[str]:
    """The names that look most like `name`, the nearest first; none if it looks like no name."""
    return difflib.get_close_matches(name, ENTRIES, n=3, cutoff=0.5)

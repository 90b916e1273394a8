"""Layers that have outputs for each class, and how these outputs are carried over to another class list.

In mmdetection's layout the outputs of a layer are rows: axis 0 of its weight and of its bias.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

_BACKGROUND = object()  # stands for the background in a list of class names; no class is called so
# Layer -> how many rows each class has. In retina_cls they are repeated for each anchor.
_ROWS = {"fc_cls": 1, "fc_reg": 4, "conv_logits": 1, "fc_mask_iou": 1, "retina_cls": 1}
# COCO's 80 classes in the order of their ids. Files of tensorpack and Detectron name no classes, but have these.
COCO = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)


def layer(key: str) -> str:
    """The layer of a parameter: "roi_head.bbox_head.fc_cls" of "roi_head.bbox_head.fc_cls.weight"."""
    return key.rpartition(".")[0]


def depends_on_classes(key: str) -> bool:
    """Whether the layer of a parameter has outputs for each class (it may still be class-agnostic)."""
    return layer(key).rpartition(".")[2] in _ROWS


def count(arrays: dict[str, np.ndarray]) -> int | None:
    """The number of classes of a detector; None if there is only a backbone."""
    for key, array in arrays.items():
        if key.endswith("fc_cls.bias"):
            return len(array) - 1
        if key.endswith("retina_cls.bias"):  # a row per anchor and class; retina_reg has four rows per anchor
            return len(array) // (len(arrays[key.replace("retina_cls", "retina_reg")]) // 4)
    return None


def names_of(weights):
    """The class names of `load.Weights`: those in the file, or COCO's if it has as many classes; else None."""
    if weights.class_names is not None:
        return tuple(weights.class_names)
    return COCO if count(weights.arrays) == len(COCO) else None


def common(our_names: Sequence[str], their_names: Sequence[str]) -> list[str]:
    """The names of both lists, in the order of the first. A name that a list has twice says not which class it is."""
    ours, theirs = Counter(our_names), Counter(their_names)
    return [name for name in our_names if ours[name] == theirs[name] == 1]


def carry(
    key: str, ours: np.ndarray, theirs: np.ndarray, our_names: Sequence[str], their_names: Sequence[str]
) -> np.ndarray | None:
    """Takes the rows of `theirs` for the classes that are in both lists, and those of `ours` for the others.

    Args:
        key: mmdetection's name of the parameter.
        ours, theirs: values of the parameter in mmdetection's layout.
        our_names, their_names: the class lists that they are for.

    Returns:
        An array like `ours`; None if nothing can be taken, since no class is in both lists or the shapes differ.
    """
    if ours.shape[1:] != theirs.shape[1:]:
        return None
    leaf = layer(key).rpartition(".")[2]
    rows, our_names, their_names = _ROWS[leaf], list(our_names), list(their_names)
    shared = common(our_names, their_names)
    if len(ours) == len(theirs) == rows and max(len(our_names), len(their_names)) > 1:
        return theirs  # the layer is class-agnostic
    if leaf == "fc_cls":
        for names in (our_names, their_names, shared):
            names += [_BACKGROUND] if shared else []
    groups = len(ours) // (rows * len(our_names))
    wanted, given = (groups, len(our_names), rows), (groups, len(their_names), rows)
    if not shared or math.prod(wanted) != len(ours) or math.prod(given) != len(theirs):
        return None
    result = ours.reshape(*wanted, *ours.shape[1:]).copy()
    source = theirs.reshape(*given, *theirs.shape[1:])
    for name in shared:
        result[:, our_names.index(name)] = source[:, their_names.index(name)]
    return result.reshape(ours.shape)

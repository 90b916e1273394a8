"""Layers whose outputs stand for classes, and how their rows pass from one class list to another.

In mmdetection's layout outputs are rows: axis 0 of kernels and biases alike.
"""

import math

_BACKGROUND = object()  # its name, which no class has
# Layer -> rows of each class. RetinaNet's has, moreover, a row of each class for each anchor.
_ROWS = {"fc_cls": 1, "fc_reg": 4, "conv_logits": 1, "fc_mask_iou": 1, "retina_cls": 1}
# COCO's 80, in the order of their ids: detectors of tensorpack and Detectron carry no names and are COCO's.
COCO = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)


def layer(key):
    """The layer of a parameter: "roi_head.bbox_head.fc_cls" of "roi_head.bbox_head.fc_cls.weight"."""
    return key.rpartition(".")[0]


def depends_on_classes(key):
    """Whether the layer of a parameter has outputs for each class, unless it is made class-agnostic."""
    return layer(key).rpartition(".")[2] in _ROWS


def count(arrays):
    """The number of classes of a detector; None for a backbone alone."""
    for key, array in arrays.items():
        if key.endswith("fc_cls.bias"):
            return len(array) - 1
        if key.endswith("retina_cls.bias"):  # a logit per anchor of a cell and class, beside four deltas per anchor
            return len(array) // (len(arrays[key.replace("retina_cls", "retina_reg")]) // 4)
    return None


def names_of(weights):
    """The class names of `load.Weights`: those in the file, or COCO's if it has as many classes; else None."""
    if weights.class_names is not None:
        return tuple(weights.class_names)
    return COCO if count(weights.arrays) == len(COCO) else None


def carry(key, ours, theirs, our_names, their_names):
    """The rows of `theirs` for the classes that both lists name, those of `ours` for the others.

    Args:
        key: mmdetection's name of the parameter.
        ours, theirs: arrays in mmdetection's layout, of detectors with the classes `our_names` and `their_names`.

    Returns:
        An array like `ours`, or None where nothing could be taken: no class in common, or other shapes.
    """
    if ours.shape[1:] != theirs.shape[1:]:
        return None
    leaf = layer(key).rpartition(".")[2]
    rows, our_names, their_names = _ROWS[leaf], list(our_names), list(their_names)
    common = [name for name in our_names if name in their_names]
    if len(ours) == len(theirs) == rows and max(len(our_names), len(their_names)) > 1:
        return theirs  # class-agnostic
    if leaf == "fc_cls":
        for names in (our_names, their_names, common):
            names += [_BACKGROUND] if common else []
    groups = len(ours) // (rows * len(our_names))
    wanted, given = (groups, len(our_names), rows), (groups, len(their_names), rows)
    if not common or math.prod(wanted) != len(ours) or math.prod(given) != len(theirs):
        return None
    result = ours.reshape(*wanted, *ours.shape[1:]).copy()
    source = theirs.reshape(*given, *theirs.shape[1:])
    for name in common:
        result[:, our_names.index(name)] = source[:, their_names.index(name)]
    return result.reshape(ours.shape)

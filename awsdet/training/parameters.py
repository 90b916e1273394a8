"""How many parameters the parts of a detector have, and how many of them are trained."""

from typing import NamedTuple

import tensorflow as tf

# Start of a variable's name -> what the part is called; the first that fits counts.
_PARTS = {
    "backbone.conv": "stem",
    "backbone.stem": "stem",
    "backbone.": "",  # as its second word, layer1 for example
    "neck.": "FPN",
    "rpn_head.": "RPN",
    "roi_head.bbox_head.": "box head",
    "roi_head.mask_head.": "mask head",
    "roi_head.mask_iou_head.": "mask IoU head",
    "bbox_head.": "head",
}
# Statistics of batch norms are not parameters, since no gradient changes them; neither are sums of gradients.
_OTHERS = (".mean", ".variance", "/accumulated")


class Part(NamedTuple):
    """A part of a detector, with the numbers of its parameters that are trained, and that are fixed."""

    name: str
    trained: int
    frozen: int


def part_of(name: str) -> str:
    """What the part is called that a variable or a layer, by its name, belongs to."""
    for start, part in _PARTS.items():
        if f"{name}.".startswith(start):
            return part or name.split(".")[1]
    return name.partition(".")[0]


def parts_of(detector: tf.keras.Model) -> list[Part]:
    """The Parts of a detector, in the order from the image to the results."""
    trained = {id(variable) for variable in detector.trainable_variables}
    counts = {}
    for variable in detector.variables:
        name = variable.name.partition(":")[0]
        if "." in name and not name.endswith(_OTHERS):  # a name without a dot is that of a counter
            count = counts.setdefault(part_of(name), [0, 0])
            count[id(variable) not in trained] += int(variable.shape.num_elements())
    order = ["stem", *sorted(part for part in counts if part[-1:].isdigit())]
    names = [*(name for name in order if name in counts), *(name for name in counts if name not in order)]
    return [Part(name, *counts[name]) for name in names]

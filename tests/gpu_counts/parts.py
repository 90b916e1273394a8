"""Which part of the training step or of detection an operation belongs to, by its name."""

import re

OTHER = "other"

# The first pattern that is found in the name decides. Gradients bear the names of what they are the gradients of.
_PARTS = (
    ("update", r"^(SGD|AdamW|update|global_norm|AwsdetGlobalNorm|AwsdetSgd)"),
    ("images", r"^images"),
    ("stem, layer1", r"backbone\.(conv1|stem|layer1)|^backbone/(Pad|MaxPool)"),
    ("layer2", r"backbone\.layer2"),
    ("layer3", r"backbone\.layer3"),
    ("layer4", r"backbone\.layer4"),
    ("neck", r"^neck"),
    ("anchors", r"^anchors|^meshgrid"),
    ("rpn head, proposals", r"^(rpn_head/rpn_head\.|rpn_head/Cast|proposals)"),
    ("rpn at samples", r"^(rpn_head|rpn_samples|rpn_losses)"),
    ("rpn targets", r"^(rpn_targets|targets/)"),
    ("roi targets", r"^(roi_targets|targets_1/)"),
    ("mask targets", r"^(mask_targets|targets_2/|positives)"),
    ("box head", r"bbox_head|AwsdetRoiAlign(Grad)?$|^box_|^losses_1"),
    ("mask head", r"mask_head|AwsdetRoiAlign(Grad)?_1$|^mask_|^masks|^losses_2"),
    ("losses", r"^losses"),
)
_COMPILED = tuple((part, re.compile(pattern)) for part, pattern in _PARTS)
NAMES = (*(part for part, _ in _PARTS), OTHER)


def part_of(operation):
    """The part of an operation as it stands in the log of the counter.

    operation: "name:type", followed for a copy by "#from=NAME,to=NAME"; a copy belongs to where it comes from.
    """
    found = re.search(r"#from=([^,]+)", operation)
    name = found.group(1) if found else operation.partition(":")[0]
    name = re.sub(r"^(gradient_tape/)+", "", name)
    for part, pattern in _COMPILED:
        if pattern.search(name):
            return part
    return OTHER

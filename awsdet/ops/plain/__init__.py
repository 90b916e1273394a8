"""What the compiled operators of detection compute, in TensorFlow's own operators.

For graphs that leave this project and run where its library is not: `library.replaced(plain)` makes a detector use
these functions, which have the names and arguments of the operators. Where speed does not matter they are the twins of
the tests; `roi_align`, `nms` and `top_boxes` have other algorithms, with shapes that are fixed or bounded.
"""

from awsdet.ops.plain.affine import awsdet_affine
from awsdet.ops.plain.nms import awsdet_nms
from awsdet.ops.plain.roi_align import awsdet_roi_align
from awsdet.ops.plain.small import awsdet_anchors, awsdet_cast, awsdet_decode_boxes, awsdet_resize
from awsdet.ops.plain.top_boxes import awsdet_top_boxes

__all__ = [
    "awsdet_affine",
    "awsdet_anchors",
    "awsdet_cast",
    "awsdet_decode_boxes",
    "awsdet_nms",
    "awsdet_resize",
    "awsdet_roi_align",
    "awsdet_top_boxes",
]

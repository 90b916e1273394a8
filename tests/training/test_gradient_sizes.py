"""The stored sizes are those of the detector that they stand for."""

from awsdet import config as config_module
from awsdet.models import builder
from awsdet.training.gradient_sizes import MASK_RCNN_R50_FPN


def test_sizes_are_those_of_the_detectors_gradients_in_their_order():
    detector = builder.build(config_module.mask_rcnn(), [f"class {number}" for number in range(80)])
    assert list(MASK_RCNN_R50_FPN) == [v.shape.num_elements() for v in detector.trainable_variables]

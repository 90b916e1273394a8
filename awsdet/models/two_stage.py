"""The two-stage detector (Ren et al. 2015) with a feature pyramid: features, proposals, RoIs.

Its RoI heads make it a Faster, Mask, Mask Scoring or Cascade R-CNN.
"""

from typing import NamedTuple

from awsdet.detection.losses import Terms, merged
from awsdet.detection.matching import ground_truth
from awsdet.models.detector import Detector
from awsdet.models.heads.rpn import RPNStep

STRIDES = (4, 8, 16, 32, 64)  # of the levels P2 to P6
ROI_STRIDES = STRIDES[:4]  # of the levels that RoIs are pooled from


class TwoStageStep(NamedTuple):
    """The results of a training step."""

    rpn: RPNStep
    stages: list  # the StageStep of each stage
    terms: Terms  # of the RPN and all stages


class TwoStage(Detector):
    """Backbone, neck, RPN and RoI heads.

    Args:
        backbone: layer from images to features at strides 4, 8, 16, 32.
        neck: layer from these to the levels P2 to P6.
        rpn: RPN.
        roi_heads: RoIHeads.
        options: see `Detector`.
    """

    def __init__(self, backbone, neck, rpn, roi_heads, **options):
        super().__init__(**options)
        self.backbone, self.neck, self.rpn, self.roi_heads = backbone, neck, rpn, roi_heads
        self.built = True

    @property
    def needs_masks(self):
        """See Detector."""
        return any(stage.masks is not None for stage in self.roi_heads.stages)

    @property
    def suppression(self):
        """Suppression: what the last stage finds goes through it."""
        return self.roi_heads.suppression

    @suppression.setter
    def suppression(self, value):
        self.roi_heads.suppression = value

    def training_outputs(self, images, batch, keys, training=True):
        """The TwoStageStep of `images`, normalised by `normalize_images`, and their batch.

        `keys(name, shape)` returns the sampling keys. `training`: whether live normalisations use the batch's
        statistics.
        """
        pyramid, truth = self.pyramid(images, training), ground_truth(batch)
        proposals, rpn = self.rpn.training_step(pyramid, truth, batch["image_size"], keys, training)
        stages = self.roi_heads.training_steps(pyramid, proposals, truth, batch, keys, training)
        return TwoStageStep(rpn, stages, merged([rpn.terms, *(stage.terms for stage in stages)]))

    def detect_in_pyramid(self, pyramid, image_size):
        """The rest of `detect`, from the features P2 to P6 on."""
        return self.roi_heads.detect(pyramid, self.rpn.propose(pyramid, image_size), image_size)

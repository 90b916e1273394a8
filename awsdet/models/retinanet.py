"""RetinaNet (Lin et al. 2017): a one-stage detector that classifies and moves every anchor of P3 to P7."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection.losses import Terms
from awsdet.detection.matching import ground_truth
from awsdet.models.detector import Detector
from awsdet.models.heads.retina_head import (
    RetinaOutput,
    RetinaTargets,
    retina_detections,
    retina_targets,
    retina_terms,
)

STRIDES = (8, 16, 32, 64, 128)
FIRST_POSITIVES = 100.0  # the initial value of the running mean of the positives, as in Detectron2


class RetinaNetStep(NamedTuple):
    """The results of a training step."""

    output: RetinaOutput
    targets: RetinaTargets
    terms: Terms


class RetinaNet(Detector):
    """Backbone, a neck from C3 on with two coarser levels, and the head with its settings.

    Args:
        backbone: layer from images to features at strides 4, 8, 16, 32. neck: layer from these to P3 to P7.
        head: RetinaHead.
        anchors: Anchors. matcher: Matcher. coder: BoxCoder.
        focal_loss: FocalLoss. box_loss: BoxLoss. suppression: Suppression.
        pre_nms: the number of best pairs of anchor and class per level that can become detections.
        min_size: boxes must be wider and higher than this, in px.
        normalizer_momentum: 0: losses are divided by the number of positives in the batch. Otherwise by its running
            mean over the steps, of which each step keeps this share (Detectron2: 0.9).
        pad_multiple: images are padded to multiples of this, px.
        options: see `Detector`.
    """

    def __init__(
        self,
        backbone,
        neck,
        head,
        *,
        anchors,
        matcher,
        coder,
        focal_loss,
        box_loss,
        suppression,
        pre_nms=1000,
        min_size=0.0,
        normalizer_momentum=0.0,
        pad_multiple=32,
        **options,
    ):
        super().__init__(**options)
        self.backbone, self.neck, self.bbox_head = backbone, neck, head
        self.anchors, self.matcher, self.coder = anchors, matcher, coder
        self.focal_loss, self.box_loss, self.suppression = focal_loss, box_loss, suppression
        self.pre_nms, self.min_size = pre_nms, min_size
        self.normalizer_momentum, self.pad_multiple = normalizer_momentum, pad_multiple
        self.positives = None
        if normalizer_momentum:
            self.positives = tf.Variable(FIRST_POSITIVES, trainable=False, name="positives")
        self.built = True

    def training_outputs(self, images, batch, keys=None, training=True):
        """The RetinaNetStep of `images`, normalised by `normalize_images`, and their batch.

        Nothing is sampled, so `keys` is not used. With normalizer_momentum and `training`, each call updates the
        running mean.
        """
        pyramid = self.pyramid(images, training)
        with tf.name_scope("targets"):
            anchors, valid = self.anchors.with_valid(pyramid, STRIDES, batch["image_size"], self.pad_multiple)
            truth = ground_truth(batch)
            targets = retina_targets(anchors, valid, truth, self.num_classes, self.matcher, self.coder)
        output = self.bbox_head(pyramid, training=training)
        with tf.name_scope("losses"):
            count = self._smoothed(targets.normalizer, training)
            terms = retina_terms(output, targets, count, self.focal_loss, self.box_loss, self.coder)
        return RetinaNetStep(output, targets, terms)

    def _smoothed(self, count, training):
        """The running mean of `count`, the same on all ranks; without normalizer_momentum, `count` itself."""
        if self.positives is None:
            return count
        if not training:
            return tf.identity(self.positives)
        kept = self.normalizer_momentum
        mean = self.world.sum(count, name="positives") / self.world.size_tensor
        return self.positives.assign(kept * self.positives + (1 - kept) * mean)

    def detect_in_pyramid(self, pyramid, image_size):
        """The rest of `detect`, from the features P3 to P7 on."""
        anchors = self.anchors.of_pyramid(pyramid, STRIDES)
        rules = (self.coder, self.suppression, self.pre_nms, self.min_size)
        return retina_detections(self.bbox_head(pyramid), anchors, image_size, *rules).outputs()

"""RetinaNet (Lin et al. 2017): one stage, every anchor of P3 to P7 is classified and moved."""

import tensorflow as tf

from awsdet.models.detector import Detector
from awsdet.models.heads.retina_head import RetinaHead, retina_detections, retina_losses, retina_targets
from awsdet.models.heads.rpn import level_anchors, valid_anchors
from awsdet.models.parts import build_backbone, build_neck

STRIDES = (8, 16, 32, 64, 128)
FIRST_POSITIVES = 100.0  # where the running mean of the positives begins, as Detectron2's


class RetinaNet(Detector):
    """ResNet, FPN from C3 on with two coarser levels, and the head."""

    def __init__(self, settings, class_names, seed=1, name="retinanet"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)
        common = {"initializers": self.initializers, "dtype": settings.precision}
        self.backbone = build_backbone(settings.backbone, **common)
        self.neck = build_neck(settings.fpn, self.backbone.out_channels, start_level=1, num_outs=len(STRIDES), **common)
        anchors_per_cell = len(settings.anchors.scales) * len(settings.anchors.ratios)
        head = settings.retina_head
        self.bbox_head = RetinaHead(
            settings.fpn.channels, head.convs, head.channels, anchors_per_cell, self.num_classes, **common
        )
        self.positives = None
        if head.normalizer_momentum:
            self.positives = tf.Variable(FIRST_POSITIVES, trainable=False, name="positives")
        self.built = True

    def training_outputs(self, images, batch, keys=None):
        """What the losses compare, by name: retina_output and retina_targets.

        `images` as `normalize_images` gives them. Nothing is sampled, so `keys` are not asked for.
        """
        pyramid = self.pyramid(images, training=True)
        anchors = level_anchors(pyramid, STRIDES, self.settings.anchors)
        valid = valid_anchors(pyramid, STRIDES, batch["image_size"], self.settings.anchors)
        targets = retina_targets(tf.concat(anchors, axis=0), valid, batch, self.num_classes, self.settings.retina_head)
        return {"retina_output": self.bbox_head(pyramid, training=True), "retina_targets": targets}

    def loss_sums(self, outputs):
        """Unnormalised losses of `training_outputs`, and what to divide each by: two dicts of float32 scalars.

        With normalizer_momentum each call is a step of the running mean.
        """
        targets = outputs["retina_targets"]
        class_loss, box_loss = retina_losses(outputs["retina_output"], targets, self.settings.retina_head)
        sums = {"class_loss": class_loss, "box_loss": box_loss}
        count = self._smoothed(targets.normalizer)
        return sums, {"class_loss": count, "box_loss": count}

    def _smoothed(self, count):
        """The running mean of `count`, the same on all ranks, where one is kept."""
        if self.positives is None:
            return count
        share = self.settings.retina_head.normalizer_momentum
        mean = self.world.sum(count, name="positives") / self.world.size
        return self.positives.assign(share * self.positives + (1 - share) * mean)

    def pyramid(self, images, training=False):
        """Normalised images [B, H, W, 3] -> P3 to P7. H and W must be multiples of 32."""
        return self.neck(self.backbone(images, training=training), training=training)

    def _detect(self, batch):
        """Finds objects; takes and returns what Faster R-CNN's does."""
        return self.detect_in_pyramid(self.pyramid(self.normalize_images(batch)), batch["image_size"])

    def detect_in_pyramid(self, pyramid, image_size):
        """`detect` from features P3 to P7 on."""
        anchors = level_anchors(pyramid, STRIDES, self.settings.anchors)
        return retina_detections(self.bbox_head(pyramid), anchors, image_size, self.settings.retina_head)._asdict()

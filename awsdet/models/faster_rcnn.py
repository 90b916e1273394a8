"""Faster R-CNN with a feature pyramid: features, proposals, RoIs, boxes."""

import tensorflow as tf

from awsdet.detection import anchors as anchor_lib
from awsdet.models.detector import Detector
from awsdet.models.heads import rpn
from awsdet.models.heads.box_head import Candidates, box_head_losses, detections, sample_rois
from awsdet.models.heads.conv_box_head import build_box_head
from awsdet.models.parts import build_backbone, build_neck
from awsdet.ops.roi_align import roi_align

STRIDES = (4, 8, 16, 32, 64)
ROI_STRIDES = STRIDES[:4]


class FasterRCNN(Detector):
    """Backbone, FPN, RPN and box head."""

    def __init__(self, settings, class_names, seed=1, name="faster_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)
        common = {"initializers": self.initializers, "dtype": settings.precision}
        self.backbone = build_backbone(settings.backbone, **common)
        self.neck = build_neck(settings.fpn, self.backbone.out_channels, num_outs=len(STRIDES), **common)
        anchors_per_cell = len(settings.anchors.scales) * len(settings.anchors.ratios)
        self.rpn_head = rpn.RPNHead(settings.fpn.channels, settings.rpn.channels, anchors_per_cell, **common)
        self._make_heads()
        self.built = True

    def _make_heads(self):
        """Makes what looks at RoIs."""
        self.box_head = self._new_box_head("roi_head.bbox_head")

    def _new_box_head(self, name):
        common = {"initializers": self.initializers, "dtype": self.settings.precision}
        return build_box_head(self.settings, self.num_classes, name=name, **common)

    def training_outputs(self, images, batch, keys):
        """What the losses compare, by name: outputs of the networks and their targets.

        `images` as `normalize_images` gives them; `keys(name, shape)` gives the sampling keys of the anchors ("rpn",
        [B, N]) and the RoIs ("rcnn", [B, G + K], ground truth first). Returns a dict: rpn_targets, rpn_output
        (AnchorOutput of their anchors), rois (RoISample), box_output.
        """
        pyramid = self.pyramid(images, training=True)
        anchors = rpn.level_anchors(pyramid, STRIDES, self.settings.anchors)
        # Proposals carry no gradient: the RPN learns from the sampled anchors, where it is computed once more.
        rpn_output = self.rpn_head(pyramid, training=True)
        with tf.name_scope("proposals"):
            proposals = rpn.propose(rpn_output, anchors, batch["image_size"], self.settings.rpn, training=True)
        with tf.name_scope("targets"):
            rpn_targets = self._rpn_targets(pyramid, anchors, batch, keys)
        return {
            "rpn_targets": rpn_targets,
            "rpn_output": self.rpn_head.at(pyramid, rpn_targets.sample.index),
            **self._roi_outputs(pyramid, proposals, batch, keys),
        }

    def _roi_outputs(self, pyramid, proposals, batch, keys):
        """The part of `training_outputs` that comes of the proposals."""
        rois = self._sample_rois(proposals, batch, keys)
        box_output = self._boxes_of(self.box_head, pyramid, rois.rois, training=True)
        return {"rois": rois, "box_output": box_output, **self._mask_outputs(pyramid, rois, batch)}

    def _boxes_of(self, box_head, pyramid, rois, training=False):
        """BoxOutput of `rois` [B, S, 4]."""
        return box_head(self.pool(pyramid, *_flat_rois(rois), self.settings.box_head), training=training)

    def loss_sums(self, outputs):
        """Unnormalised losses of `training_outputs`, and what to divide each by: two dicts of float32 scalars."""
        rpn_class, rpn_box = rpn.rpn_losses(outputs["rpn_output"], outputs["rpn_targets"], self.settings.rpn)
        anchors = outputs["rpn_targets"].normalizer
        sums, counts = self._roi_loss_sums(outputs)
        return (
            {"rpn_class_loss": rpn_class, "rpn_box_loss": rpn_box, **sums},
            {"rpn_class_loss": anchors, "rpn_box_loss": anchors, **counts},
        )

    def _roi_loss_sums(self, outputs):
        """The part of `loss_sums` that comes of the RoIs."""
        class_loss, box_loss = box_head_losses(outputs["box_output"], outputs["rois"], self.settings.box_head)
        rois = tf.reduce_sum(tf.cast(outputs["rois"].valid, tf.float32))
        return {"class_loss": class_loss, "box_loss": box_loss}, {"class_loss": rois, "box_loss": rois}

    def _mask_outputs(self, pyramid, rois, batch):
        """What Mask R-CNN adds to `training_outputs`."""
        return {}

    def _rpn_targets(self, pyramid, anchors, batch, keys):
        rule, anchors = self.settings.rpn, tf.concat(anchors, axis=0)
        valid = rpn.valid_anchors(pyramid, STRIDES, batch["image_size"], self.settings.anchors)
        if rule.allowed_border >= 0:
            valid &= anchor_lib.inside(anchors, batch["image_size"], rule.allowed_border)
        return rpn.rpn_targets(anchors, valid, batch, keys("rpn", tf.shape(valid)), rule)

    def _sample_rois(self, proposals, batch, keys):
        candidates = Candidates(proposals.boxes, tf.sequence_mask(proposals.count, tf.shape(proposals.boxes)[1]))
        shape = tf.shape(batch["classes"]) + [0, tf.shape(proposals.boxes)[1]]
        with tf.name_scope("targets"):
            return sample_rois(candidates, batch, keys("rcnn", shape), self.num_classes, self.settings.box_head)

    def pyramid(self, images, training=False):
        """Normalised images [B, H, W, 3] -> P2 to P6. H and W must be multiples of 32."""
        return self.neck(self.backbone(images, training=training), training=training)

    def pool(self, pyramid, rois, image_index, head):
        """RoI features [R, P, P, channels]; `head` (a head's settings) has pool_size and sampling_ratio."""
        box_head = self.settings.box_head
        return roi_align(
            pyramid[: len(ROI_STRIDES)],
            rois,
            image_index,
            strides=ROI_STRIDES,
            output_size=head.pool_size,
            finest_scale=box_head.finest_scale,
            sampling_ratio=head.sampling_ratio,
            aligned=box_head.aligned,
        )

    def _detect(self, batch):
        """Finds objects.

        `batch`: `image` uint8 [B, H, W, 3] with H and W multiples of 32, `image_size` int32 [B, 2]. Returns a dict:
        boxes float32 [B, D, 4] in pixels of `image`, scores float32 [B, D] falling, classes int32 [B, D] with -1 as
        padding, count int32 [B].
        """
        return self.detect_in_pyramid(self.pyramid(self.normalize_images(batch)), batch["image_size"])

    def detect_in_pyramid(self, pyramid, image_size):
        """`detect` from features P2 to P6 on."""
        anchors = rpn.level_anchors(pyramid, STRIDES, self.settings.anchors)
        rpn_output = self.rpn_head(pyramid)
        proposals = rpn.propose(rpn_output, anchors, image_size, self.settings.rpn, training=False)
        proposals, box_output = self._classify(pyramid, proposals, image_size)
        return detections(box_output, proposals, image_size, self._last_rule)._asdict()

    @property
    def _last_rule(self):
        """Settings of the head that gives the final boxes."""
        return self.settings.box_head

    def _classify(self, pyramid, proposals, image_size):
        """(Proposals, BoxOutput): the boxes from which the last head starts, and its output."""
        return proposals, self._boxes_of(self.box_head, pyramid, proposals.boxes)


def _flat_rois(rois):
    """[B, S, 4] -> boxes [B * S, 4] and the image of each, int32 [B * S]."""
    batch, count = tf.unstack(tf.shape(rois)[:2])
    return tf.reshape(rois, [-1, 4]), tf.repeat(tf.range(batch), count)

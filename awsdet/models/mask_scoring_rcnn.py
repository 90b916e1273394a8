"""Mask Scoring R-CNN (Huang et al. 2019): Mask R-CNN that also says how good each of its masks is."""

import tensorflow as tf

from awsdet.detection.mask_areas import shares_inside
from awsdet.models.heads.mask_head import positive_rois
from awsdet.models.heads.mask_iou_head import MaskIoUHead, mask_iou_loss, mask_iou_targets
from awsdet.models.mask_rcnn import MaskRCNN, spread


class MaskScoringRCNN(MaskRCNN):
    """Mask R-CNN with a mask IoU head; the batch must hold `masks`."""

    def __init__(self, settings, class_names, seed=1, name="mask_scoring_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)

    def _make_heads(self):
        super()._make_heads()
        settings = self.settings
        self.mask_iou_head = MaskIoUHead(
            settings.fpn.channels,
            settings.mask_head.pool_size,
            self.num_classes,
            settings.mask_iou_head,
            initializers=self.initializers,
            dtype=settings.precision,
        )

    def _mask_outputs(self, pyramid, rois, batch):
        """As Mask R-CNN's, and mask_ious, mask_iou_targets float32 [P]. The head's gradient reaches the masks."""
        positives = positive_rois(rois)
        count = positives.count
        pooled = self.pool(pyramid, positives.boxes, positives.image_index, self.settings.mask_head)
        logits = self.mask_head(pooled, positives.labels, training=True)
        ious = self.mask_iou_head(pooled, logits, positives.labels, training=True)
        targets = self._mask_targets(positives, batch)
        shares = shares_inside(
            batch["masks"],
            batch["image_size"],
            positives.boxes[:count],
            positives.image_index[:count],
            positives.truth[:count],
        )
        threshold = self.settings.mask_iou_head.logit_threshold
        return {
            "mask_logits": logits[:count],
            "mask_targets": targets,
            "mask_ious": ious[:count],
            "mask_iou_targets": mask_iou_targets(logits[:count], targets, shares, threshold),
        }

    def _roi_loss_sums(self, outputs):
        """As Mask R-CNN's, and mask_iou_loss: the mean over the positives whose mask meets its object."""
        sums, counts = super()._roi_loss_sums(outputs)
        loss, counts["mask_iou_loss"] = mask_iou_loss(outputs["mask_ious"], outputs["mask_iou_targets"])
        sums["mask_iou_loss"] = loss * self.settings.mask_iou_head.loss_weight
        return sums, counts

    def _masks_of_detections(self, mask_heads, pyramid, found):
        """As Mask R-CNN's, and `iou_scores` float32 [B, D]: the IoU that each mask is expected to have.

        A mask's own score is its box's times that.
        """
        slots, classes, pooled = self._detected_rois(pyramid, found)
        logits = self.mask_head(pooled, classes)
        ious = self.mask_iou_head(pooled, logits, classes)
        return {"masks": spread(tf.sigmoid(logits), slots, found), "iou_scores": spread(ious, slots, found)}

"""Mask R-CNN (He et al. 2017): Faster R-CNN and a mask head on its positive RoIs."""

import tensorflow as tf

from awsdet.models.faster_rcnn import FasterRCNN
from awsdet.models.mask_head import MaskHead, mask_loss, mask_targets


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with masks; the batch must hold `masks`."""

    def __init__(self, settings, class_names, seed=1, name="mask_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)
        head = settings.mask_head
        self.mask_head = MaskHead(
            settings.fpn.channels,
            head.convs,
            head.channels,
            self.num_classes,
            head.class_agnostic,
            initializers=self.initializers,
            dtype=settings.precision,
        )

    def _mask_outputs(self, pyramid, rois, batch):
        # Only the positives of the whole batch, however many: where there is none, the sum and its gradients are zeros.
        slots = tf.cast(tf.where(rois.positive), tf.int32)
        boxes, truth, labels = (tf.gather_nd(part, slots) for part in (rois.rois, rois.truth, rois.labels))
        size = 2 * self.settings.mask_head.pool_size
        targets = mask_targets(batch["masks"], batch["image_size"], boxes, slots[:, 0], truth, size)
        # oneDNN has no filter gradient of an empty batch: there a RoI of nothing stands in, and its logits are cut off.
        count = tf.shape(slots)[0]
        spare = tf.cast(count == 0, tf.int32)
        boxes, slots, labels = (
            tf.pad(boxes, [[0, spare], [0, 0]]),
            tf.pad(slots, [[0, spare], [0, 0]]),
            tf.pad(labels, [[0, spare]]),
        )
        pooled = self.pool(pyramid, boxes, slots[:, 0], self.settings.mask_head)
        return {"mask_logits": self.mask_head(pooled, labels)[:count], "mask_targets": targets}

    def loss_sums(self, outputs):
        """As Faster R-CNN's, and mask_loss: the mean over the pixels of all positives."""
        sums, counts = super().loss_sums(outputs)
        targets = outputs["mask_targets"]
        sums["mask_loss"] = mask_loss(outputs["mask_logits"], targets) * self.settings.mask_head.loss_weight
        counts["mask_loss"] = tf.cast(tf.size(targets), tf.float32)
        return sums, counts

    def detect_in_pyramid(self, pyramid, image_size):
        """As Faster R-CNN's, and `masks` float32 [B, D, 28, 28]: probabilities of the detected class in each box."""
        found = super().detect_in_pyramid(pyramid, image_size)
        used = found["classes"] >= 0
        slots = tf.cast(tf.where(used), tf.int32)
        pooled = self.pool(pyramid, tf.gather_nd(found["boxes"], slots), slots[:, 0], self.settings.mask_head)
        masks = tf.sigmoid(self.mask_head(pooled, tf.gather_nd(found["classes"], slots)))
        shape = tf.concat([tf.shape(used), tf.shape(masks)[1:]], axis=0)
        return {**found, "masks": tf.scatter_nd(slots, masks, shape)}

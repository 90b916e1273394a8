"""Mask R-CNN (He et al. 2017): Faster R-CNN and a mask head on its positive RoIs."""

import tensorflow as tf

from awsdet.models.faster_rcnn import FasterRCNN
from awsdet.models.heads.mask_head import MaskHead, mask_loss, mask_targets, positive_rois


class WithMasks:
    """What a detector with a mask head, or several, has beside `FasterRCNN`."""

    def _new_mask_head(self, name):
        head = self.settings.mask_head
        return MaskHead(
            self.settings.fpn.channels,
            head.convs,
            head.channels,
            self.num_classes,
            head.class_agnostic,
            norm=head.norm,
            initializers=self.initializers,
            dtype=self.settings.precision,
            name=name,
        )

    def _masks_of_positives(self, mask_head, pyramid, rois, batch):
        """Of the positives of the whole batch, however many: mask_logits, mask_targets float32 [P, 28, 28].

        Where there is none, their sums and gradients are zeros.
        """
        positives = positive_rois(rois)
        targets = self._mask_targets(positives, batch)
        pooled = self.pool(pyramid, positives.boxes, positives.image_index, self.settings.mask_head)
        logits = mask_head(pooled, positives.labels, training=True)
        return {"mask_logits": logits[: positives.count], "mask_targets": targets}

    def _mask_targets(self, positives, batch):
        real = slice(positives.count)
        size = 2 * self.settings.mask_head.pool_size
        boxes, image_index, truth = (part[real] for part in (positives.boxes, positives.image_index, positives.truth))
        with tf.name_scope("targets"):
            return mask_targets(batch["masks"], batch["image_size"], boxes, image_index, truth, size)

    def _masks_of_detections(self, mask_heads, pyramid, found):
        """`masks` float32 [B, D, 28, 28] of detections: the mean probability that the heads give the class found."""
        slots, classes, pooled = self._detected_rois(pyramid, found)
        masks = tf.add_n([tf.sigmoid(head(pooled, classes)) for head in mask_heads]) / len(mask_heads)
        return {"masks": spread(masks, slots, found)}

    def _detected_rois(self, pyramid, found):
        """Of the D' detections of all images: int32 [D', 2] image and place in it, class, RoI features.

        Where there is none, one of nothing stands in, which `spread` leaves out: an eager convolution by oneDNN gives
        an empty batch the wrong number of channels.
        """
        slots = tf.cast(tf.where(found["classes"] >= 0), tf.int32)
        slots = tf.pad(slots, [[0, tf.cast(tf.shape(slots)[0] == 0, tf.int32)], [0, 0]])
        pooled = self.pool(pyramid, tf.gather_nd(found["boxes"], slots), slots[:, 0], self.settings.mask_head)
        return slots, tf.maximum(tf.gather_nd(found["classes"], slots), 0), pooled


def spread(values, slots, found):
    """[D', …] of all detections at their places among [B, D, …], zeros elsewhere."""
    used = tf.math.count_nonzero(found["classes"] >= 0, dtype=tf.int32)
    shape = tf.concat([tf.shape(found["classes"]), tf.shape(values)[1:]], axis=0)
    return tf.scatter_nd(slots[:used], values[:used], shape)


def mask_loss_sums(outputs, rule):
    """Unnormalised mask loss and its number of pixels; `rule` is config.model.mask_head."""
    targets = outputs["mask_targets"]
    return mask_loss(outputs["mask_logits"], targets) * rule.loss_weight, tf.cast(tf.size(targets), tf.float32)


class MaskRCNN(WithMasks, FasterRCNN):
    """Faster R-CNN with masks; the batch must hold `masks`."""

    def __init__(self, settings, class_names, seed=1, name="mask_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)

    def _make_heads(self):
        super()._make_heads()
        self.mask_head = self._new_mask_head("roi_head.mask_head")

    def _mask_outputs(self, pyramid, rois, batch):
        return self._masks_of_positives(self.mask_head, pyramid, rois, batch)

    def _roi_loss_sums(self, outputs):
        """As Faster R-CNN's, and mask_loss: the mean over the pixels of all positives."""
        sums, counts = super()._roi_loss_sums(outputs)
        sums["mask_loss"], counts["mask_loss"] = mask_loss_sums(outputs, self.settings.mask_head)
        return sums, counts

    def detect_in_pyramid(self, pyramid, image_size):
        """As Faster R-CNN's, and `masks` float32 [B, D, 28, 28]: probabilities of the detected class in each box."""
        found = super().detect_in_pyramid(pyramid, image_size)
        return {**found, **self._masks_of_detections([self.mask_head], pyramid, found)}

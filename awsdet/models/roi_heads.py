"""The RoI heads of a two-stage detector: one stage (Faster, Mask, Mask Scoring R-CNN) or several (Cascade).

A stage samples RoIs, pools their features, classifies and moves them (box head) and, if it has a mask head, predicts
their masks. In a cascade (Cai and Vasconcelos 2018, as in mmdetection 3) each stage starts from the boxes that the one
before it refined, and requires a higher IoU of positives; when finding objects, the class logits of all stages are
averaged.

Symbols: B images, G objects per image, K proposals per image, S sampled RoIs per image, P positive RoIs of a batch, D
detections per image, M = 28 side of a mask.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection.losses import Mean, Terms, merged
from awsdet.detection.mask_areas import shares_inside
from awsdet.models.heads.box_head import (
    BoxOutput,
    Candidates,
    RoISample,
    box_detections,
    box_terms,
    refine,
    sample_rois,
)
from awsdet.models.heads.mask_head import detected_rois, mask_targets, mask_terms, packed_rois, positive_rois
from awsdet.models.heads.mask_iou_head import mask_iou_targets, mask_iou_terms


class StageStep(NamedTuple):
    """The results of a training step in one stage. Masks are None without a mask head, IoUs without a mask IoU head."""

    rois: RoISample
    boxes: BoxOutput
    terms: Terms
    mask_logits: tf.Tensor | None = None  # float32 [P, M, M]
    mask_targets: tf.Tensor | None = None  # float32 [P, M, M]
    mask_ious: tf.Tensor | None = None  # float32 [P], predicted
    mask_iou_targets: tf.Tensor | None = None  # float32 [P]


class MaskBranch(tf.keras.layers.Layer):
    """The mask head of a stage with its settings and, in Mask Scoring R-CNN, the mask IoU head.

    Args:
        head: MaskHead. pooler: RoIPooler. filling: Filling of the positives in training.
        loss_weight: factor of the mask loss.
        iou_head: MaskIoUHead or None. iou_loss_weight: factor of its loss.
        iou_logit_threshold: a pixel counts as mask in the target IoU if its logit is above this.
    """

    def __init__(
        self,
        head,
        pooler,
        filling,
        *,
        loss_weight=1.0,
        iou_head=None,
        iou_loss_weight=1.0,
        iou_logit_threshold=0.0,
    ):
        super().__init__(name="masks")
        self.head, self.iou_head, self.pooler = head, iou_head, pooler
        self.loss_weight, self.iou_loss_weight = loss_weight, iou_loss_weight
        self.iou_logit_threshold, self.filling = iou_logit_threshold, filling
        self.built = True

    def training_step(self, pyramid, sampled, limit, batch, training):
        """The fields that masks add to a StageStep, a dict. Computed from all positives of the batch whose objects have
        masks; positives are at most `limit` per image.

        Without positives, sums and gradients are zeros.
        """
        with tf.name_scope("mask_targets"):
            packed = packed_rois(sampled, limit)
            # The number of positives decides shapes, and the CPU draws the masks. So a GPU sends the RoIs to the host
            # once and gets back what follows from them. Every step of that on the GPU would be one more wait.
            with tf.device("CPU:0"):
                positives = positive_rois(packed, batch["classes"], batch["masks"], self.filling)
                targets, shares = self._targets(positives, batch)
                real = positives.is_real() if self.head.wants_real else None
        pooled = self.pooler.pool(pyramid, positives.boxes, positives.image_index)
        padded = self.head(pooled, positives.labels, training=training, real=real)
        logits = padded[: positives.count]
        with tf.name_scope("mask_losses"):
            terms = mask_terms(logits, targets, self.loss_weight)
        if self.iou_head is None:
            return {"terms": terms, "mask_logits": logits, "mask_targets": targets}
        # The gradient of the IoU head reaches the mask head.
        ious = self.iou_head(pooled, padded, positives.labels, training=training)[: positives.count]
        with tf.name_scope("mask_targets"):
            iou_targets = mask_iou_targets(logits, targets, shares, self.iou_logit_threshold)
        with tf.name_scope("mask_losses"):
            terms = merged([terms, mask_iou_terms(ious, iou_targets, self.iou_loss_weight)])
        return {
            "terms": terms,
            "mask_logits": logits,
            "mask_targets": targets,
            "mask_ious": ious,
            "mask_iou_targets": iou_targets,
        }

    def _targets(self, positives, batch):
        """The mask targets float32 [P, M, M] of the positives, and the shares [P] of their objects that lie in them.

        The shares are None without a mask IoU head.
        """
        found = (batch["masks"], batch["image_size"], *positives.real())
        targets = mask_targets(*found, 2 * self.pooler.size)
        return targets, None if self.iou_head is None else shares_inside(*found)


class Stage(tf.keras.layers.Layer):
    """One stage: a box head with its settings, and perhaps a mask branch.

    Args:
        box_head: BoxHead or ConvBoxHead. pooler: RoIPooler of its features.
        matcher: Matcher. sampler: Sampler. coder: BoxCoder. box_loss: BoxLoss. class_loss_weight: of the class loss.
        masks: MaskBranch or None.
        weight: factor of all losses of the stage.
        key: name of the sampling keys. prefix: put before the names of the losses and metrics.
    """

    def __init__(
        self,
        box_head,
        pooler,
        *,
        matcher,
        sampler,
        coder,
        box_loss,
        class_loss_weight=1.0,
        masks=None,
        weight=1.0,
        key="rcnn",
        prefix="",
    ):
        super().__init__(name=f"stage_{key}")
        self.box_head, self.masks, self.pooler = box_head, masks, pooler
        self.matcher, self.sampler, self.coder, self.box_loss = matcher, sampler, coder, box_loss
        self.class_loss_weight, self.weight, self.key, self.prefix = class_loss_weight, weight, key, prefix
        self.built = True

    def training_step(self, pyramid, candidates, truth, batch, keys, training=True):
        """The StageStep of Candidates. `keys(name, shape)` returns the sampling keys [B, G + K], ground truth first."""
        with tf.name_scope("roi_targets"):
            drawn = keys(self.key, tf.shape(truth.classes) + [0, tf.shape(candidates.boxes)[1]])
            num_classes = self.box_head.num_classes
            sampled = sample_rois(candidates, truth, drawn, num_classes, self.matcher, self.sampler, self.coder)
        output = self.classify(pyramid, sampled.rois, training, sampled.valid)
        with tf.name_scope("box_losses"):
            terms = box_terms(output, sampled, self.class_loss_weight, self.box_loss, self.coder)
        masks = {}
        if self.masks is not None:
            masks = self.masks.training_step(pyramid, sampled, self.sampler.positive_limit, batch, training)
        terms = merged([terms, masks.pop("terms")]) if masks else terms
        return StageStep(sampled, output, self._weighted(terms), **masks)

    def classify(self, pyramid, rois, training=False, valid=None):
        """The BoxOutput of `rois` float32 [B, S, 4]. `valid` bool [B, S]: the used slots, of which a batch norm in the
        head takes its statistics; None, as in finding objects: it does not ask."""
        options = {}
        if valid is not None and getattr(self.box_head, "wants_real", False):
            options["real"] = tf.reshape(valid, [-1])
        return self.box_head(self.pooler.pool_batch(pyramid, rois), training=training, **options)

    def refined(self, step, image_size):
        """The Candidates of the next stage, without the objects themselves, which that stage adds again."""
        boxes = refine(step.boxes, step.rois.rois, step.rois.labels, image_size, self.coder)
        return Candidates(boxes, step.rois.valid & ~step.rois.is_object)

    def _weighted(self, terms):
        losses = {name: Mean(mean.total * self.weight, mean.count) for name, mean in terms.losses.items()}
        return Terms(losses, terms.metrics).prefixed(self.prefix)


class RoIHeads(tf.keras.layers.Layer):
    """The stages, one after another. `stages`: list of Stage; `suppression`: Suppression of the detections."""

    def __init__(self, stages, suppression):
        super().__init__(name="roi_heads")
        self.stages, self.suppression = stages, suppression
        self.built = True

    def training_steps(self, pyramid, proposals, truth, batch, keys, training=True):
        """A list with the StageStep of each stage."""
        steps = []
        candidates = Candidates(proposals.boxes, proposals.valid)
        for before, stage in zip([None, *self.stages], self.stages):
            if before is not None:
                candidates = before.refined(steps[-1], batch["image_size"])
            steps.append(stage.training_step(pyramid, candidates, truth, batch, keys, training))
        return steps

    def detect(self, pyramid, proposals, image_size):
        """A dict with the outputs of Detections and, if there are heads for them, `masks` float32 [B, D, M, M], the
        probability of the detected class inside each box, and `iou_scores` float32 [B, D], the IoU that each mask is
        expected to have. The score of a mask is the score of its box times that IoU."""
        proposals, output = self.classify(pyramid, proposals, image_size)
        found = box_detections(output, proposals, image_size, self.stages[-1].coder, self.suppression)
        branches = [stage.masks for stage in self.stages if stage.masks is not None]
        return {**found.outputs(), **(_detected_masks(branches, pyramid, found) if branches else {})}

    def classify(self, pyramid, proposals, image_size):
        """(Proposals, BoxOutput): the boxes that the last stage starts from; its deltas and the mean logits of all."""
        logits, output = [], None
        for before, stage in zip([None, *self.stages], self.stages):
            if before is not None:
                # With the label background everywhere, each box is moved by the deltas of its best class.
                background = tf.fill(tf.shape(proposals.boxes)[:2], stage.box_head.num_classes)
                boxes = refine(output, proposals.boxes, background, image_size, before.coder)
                proposals = proposals._replace(boxes=boxes)
            output = stage.classify(pyramid, proposals.boxes)
            logits.append(output.logits)
        return proposals, BoxOutput(tf.add_n(logits) / len(logits), output.deltas)


def _detected_masks(branches, pyramid, found):
    """`masks`, the mean probabilities of all stages, and `iou_scores` if the last stage predicts them."""
    rois = detected_rois(found)
    pooled = branches[-1].pooler.pool(pyramid, rois.boxes, rois.image_index)
    logits = [branch.head(pooled, rois.classes) for branch in branches]
    masks = tf.add_n([tf.sigmoid(one) for one in logits]) / len(logits)
    outputs = {"masks": rois.spread(masks)}
    if branches[-1].iou_head is not None:
        ious = branches[-1].iou_head(pooled, logits[-1], rois.classes)
        outputs["iou_scores"] = rois.spread(ious)
    return outputs

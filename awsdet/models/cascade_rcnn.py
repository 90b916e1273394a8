"""Cascade R-CNN (Cai and Vasconcelos 2018): box heads in a row, each trained on what the one before it refined.

As mmdetection 3 has it: each stage samples anew, from the refined boxes of the stage before and the objects themselves,
with a higher IoU for positives; the class logits of all stages are averaged when objects are looked for.
"""

import tensorflow as tf
from ml_collections import ConfigDict

from awsdet.models.faster_rcnn import FasterRCNN
from awsdet.models.heads.box_head import BoxOutput, Candidates, box_head_losses, refine, sample_rois
from awsdet.models.mask_rcnn import WithMasks, mask_loss_sums
from awsdet.runtime.errors import UserError


class CascadeRCNN(FasterRCNN):
    """Faster R-CNN with several box heads, `box_heads`, whose RoIs become better from one to the next."""

    def __init__(self, settings, class_names, seed=1, name="cascade_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)

    def _make_heads(self):
        self.stage_rules = stage_rules(self.settings)
        self.box_heads = [self._new_box_head(f"roi_head.bbox_head.{k}") for k in range(len(self.stage_rules))]

    def _roi_outputs(self, pyramid, proposals, batch, keys):
        """`stages`: for each a dict as Faster R-CNN's. Their sampling keys are called rcnn, rcnn1, rcnn2, …"""
        stages = []
        candidates = Candidates(proposals.boxes, tf.sequence_mask(proposals.count, tf.shape(proposals.boxes)[1]))
        for k, (rule, box_head) in enumerate(zip(self.stage_rules, self.box_heads)):
            shape = tf.shape(batch["classes"]) + [0, tf.shape(candidates.boxes)[1]]
            drawn = keys(f"rcnn{k or ''}", shape)
            rois = sample_rois(candidates, batch, drawn, self.num_classes, rule)
            output = self._boxes_of(box_head, pyramid, rois.rois, training=True)
            stages.append({"rois": rois, "box_output": output, **self._stage_mask_outputs(k, pyramid, rois, batch)})
            refined = refine(output, rois.rois, rois.labels, batch["image_size"], rule)
            candidates = Candidates(refined, rois.valid & ~rois.is_object)  # every stage is given the objects anew
        return {"stages": stages}

    def _stage_mask_outputs(self, stage, pyramid, rois, batch):
        """What masks add to the outputs of a stage."""
        return {}

    def _roi_loss_sums(self, outputs):
        """class_loss and box_loss of each stage, as in stage0_class_loss, times its weight."""
        sums, counts = {}, {}
        for k, (rule, stage) in enumerate(zip(self.stage_rules, outputs["stages"])):
            class_loss, box_loss = box_head_losses(stage["box_output"], stage["rois"], rule)
            rois = tf.reduce_sum(tf.cast(stage["rois"].valid, tf.float32))
            weight = self.settings.cascade.loss_weights[k]
            sums.update({f"stage{k}_class_loss": class_loss * weight, f"stage{k}_box_loss": box_loss * weight})
            counts.update({f"stage{k}_class_loss": rois, f"stage{k}_box_loss": rois})
        return sums, counts

    def _classify(self, pyramid, proposals, image_size):
        """Refines the proposals stage by stage. The mean logits of all stages go with the boxes of the last."""
        logits, output = [], None
        background = tf.fill(tf.shape(proposals.boxes)[:2], self.num_classes)  # of each box its best class counts
        for k, box_head in enumerate(self.box_heads):
            if k > 0:
                boxes = refine(output, proposals.boxes, background, image_size, self.stage_rules[k - 1])
                proposals = proposals._replace(boxes=boxes)
            output = self._boxes_of(box_head, pyramid, proposals.boxes)
            logits.append(output.logits)
        return proposals, BoxOutput(tf.add_n(logits) / len(logits), output.deltas)

    @property
    def _last_rule(self):
        return self.stage_rules[-1]


class CascadeMaskRCNN(WithMasks, CascadeRCNN):
    """Cascade R-CNN with a mask head, `mask_heads`, for each stage; the batch must hold `masks`."""

    def __init__(self, settings, class_names, seed=1, name="cascade_mask_rcnn"):
        """See `Detector`."""
        super().__init__(settings, class_names, seed, name)

    def _make_heads(self):
        super()._make_heads()
        self.mask_heads = [self._new_mask_head(f"roi_head.mask_head.{k}") for k in range(len(self.stage_rules))]

    def _stage_mask_outputs(self, stage, pyramid, rois, batch):
        return self._masks_of_positives(self.mask_heads[stage], pyramid, rois, batch)

    def _roi_loss_sums(self, outputs):
        """As Cascade R-CNN's, and mask_loss of each stage."""
        sums, counts = super()._roi_loss_sums(outputs)
        for k, stage in enumerate(outputs["stages"]):
            loss, pixels = mask_loss_sums(stage, self.settings.mask_head)
            sums[f"stage{k}_mask_loss"], counts[f"stage{k}_mask_loss"] = (
                loss * self.settings.cascade.loss_weights[k],
                pixels,
            )
        return sums, counts

    def detect_in_pyramid(self, pyramid, image_size):
        """As Cascade R-CNN's, and `masks` as Mask R-CNN's, the mean of the probabilities of all stages."""
        found = super().detect_in_pyramid(pyramid, image_size)
        return {**found, **self._masks_of_detections(self.mask_heads, pyramid, found)}


def stage_rules(settings):
    """For each stage the settings of its box head: config.model.box_head with what config.model.cascade changes.

    Raises UserError where the two do not say the same number of stages.
    """
    cascade, rules = settings.cascade, []
    counts = [len(cascade[key]) for key in ("ious", "box_stds", "loss_weights")]
    if len(set(counts)) > 1 or not counts[0]:
        raise UserError(f"model.cascade.ious, box_stds, loss_weights have {counts} entries; give each one a stage")
    for iou, stds in zip(cascade.ious, cascade.box_stds):
        rule = ConfigDict(settings.box_head.to_dict())
        rule.update(positive_iou=iou, negative_iou=iou, min_positive_iou=iou, box_stds=tuple(stds))
        rules.append(rule)
    return rules

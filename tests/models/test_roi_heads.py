"""The mask branch of a stage: its targets, losses and gradients, whatever the number of positives."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.reader.make_batch import make_batch
from awsdet.detection.mask_areas import shares_inside
from awsdet.detection.pooling import RoIPooler
from awsdet.models.heads.box_head import RoISample
from awsdet.models.heads.mask_head import Filling, MaskHead, mask_targets
from awsdet.models.heads.mask_iou_head import MaskIoUHead, mask_iou_targets
from awsdet.models.layers.initializers import Initializers
from awsdet.models.roi_heads import MaskBranch
from tests.models.small_detectors import TWO_IMAGES, batch_of, rectangle_polygon

SAMPLES, CHANNELS = 6, 8


def branch(filling):
    options = {"initializers": Initializers(3), "dtype": "float32"}
    head = MaskHead(CHANNELS, 2, CHANNELS, 3, False, **options)
    iou_head = MaskIoUHead(CHANNELS, 14, 3, 2, CHANNELS, 1, 16, **options)
    return MaskBranch(head, RoIPooler(14, (4, 8)), filling, iou_head=iou_head)


def sample(counts, batch):
    """A RoISample with so many positives in each of two images; their boxes lie around the objects."""
    random = np.random.default_rng(0)
    positive = tf.sequence_mask(counts, SAMPLES)
    truth = tf.constant([[0, 1, 1, 0, 1, 0], [0] * SAMPLES])
    rois = tf.gather(batch["boxes"], truth, batch_dims=1) + random.uniform(-9, 9, (2, SAMPLES, 4)).astype(np.float32)
    labels = tf.where(positive, tf.gather(batch["classes"], truth, batch_dims=1), 3)
    return RoISample(rois, positive, tf.ones_like(positive), truth, labels, rois, ~positive)


@pytest.mark.parametrize("filling", [Filling(8), Filling(8, per_image=True)], ids=["multiple", "per image"])
@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (4, 3), (6, 6)], ids=["none", "one", "some", "all"])
def test_the_mask_branch_learns_from_all_positives(counts, filling):
    batch, masks = batch_of(TWO_IMAGES), branch(filling)
    pyramid = [tf.random.stateless_normal([2, 96 // s, 128 // s, CHANNELS], (1, s)) for s in (4, 8)]
    sampled = sample(counts, batch)

    @tf.function
    def step(batch, sampled):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            found = masks.training_step(pyramid, sampled, sampled.rois.shape[1], batch, True)
            losses = tf.add_n([mean.total for mean in found["terms"].losses.values()])
        gradients = tape.gradient(losses, [*pyramid, *masks.trainable_variables])
        return found, [tf.convert_to_tensor(gradient) for gradient in gradients]

    found, gradients = step(batch, sampled)
    assert not any(np.isnan(gradient).any() for gradient in gradients)
    assert found["terms"].losses["mask_loss"].count == 28 * 28 * sum(counts)
    if sum(counts) == 0:
        assert found["mask_logits"].shape == found["mask_targets"].shape == [0, 28, 28]
        assert all(mean.total == 0 for mean in found["terms"].losses.values())
        assert not any(np.any(gradient) for gradient in gradients)
        return

    # The same without filling, from the sample itself.
    where = tf.cast(tf.where(sampled.positive), tf.int32)
    rois, truth, labels = (tf.gather_nd(part, where) for part in (sampled.rois, sampled.truth, sampled.labels))
    place = (batch["masks"], batch["image_size"], rois, where[:, 0], truth)
    targets = mask_targets(*place, 28)
    np.testing.assert_array_equal(found["mask_targets"], targets)
    assert 0.2 < np.mean(targets) < 1
    pooled = masks.pooler.pool(pyramid, rois, where[:, 0])
    logits = masks.head(pooled, labels)
    np.testing.assert_allclose(found["mask_logits"], logits, atol=1e-5)
    total = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    np.testing.assert_allclose(found["terms"].losses["mask_loss"].total, total, rtol=1e-5)
    np.testing.assert_allclose(found["mask_ious"], masks.iou_head(pooled, logits, labels), atol=1e-5)
    ious = mask_iou_targets(logits, targets, shares_inside(*place), 0.0)
    np.testing.assert_allclose(found["mask_iou_targets"], ious, atol=1e-5)
    assert any(np.any(gradient) for gradient in gradients[: len(pyramid)])


@pytest.mark.parametrize("maskless", [[0], [1], [0, 1]], ids=str)
def test_an_object_without_a_mask_does_not_train_the_mask_head(maskless):
    """Losses and gradients are those of the same sample without its positives."""
    batch, masks = batch_of(TWO_IMAGES), branch(Filling(8))
    pyramid = [tf.random.stateless_normal([2, 96 // s, 128 // s, CHANNELS], (1, s)) for s in (4, 8)]
    sampled = sample((4, 3), batch)
    boxes, classes = ([[entry[part] for entry in image] for image in TWO_IMAGES] for part in (0, 1))
    polygons = [[rectangle_polygon(box)] for box in boxes[0]]
    first = [None if row in maskless else mask for row, mask in enumerate(polygons)]
    without = make_batch(list(batch["image"].numpy()), boxes, classes, [first, [[rectangle_polygon(boxes[1][0])]]])
    of_maskless = tf.reduce_any(sampled.truth[..., tf.newaxis] == maskless, axis=-1) & [[True], [False]]
    results = []
    for chosen, given in (
        (sampled, {**batch, "masks": without["masks"]}),
        (sampled._replace(positive=sampled.positive & ~of_maskless), batch),
    ):
        with tf.GradientTape() as tape:
            found = masks.training_step(pyramid, chosen, SAMPLES, given, True)
            losses = tf.add_n([mean.total for mean in found["terms"].losses.values()])
        gradients = tape.gradient(losses, masks.trainable_variables)
        results.append((found, [tf.convert_to_tensor(gradient) for gradient in gradients]))
    (found, gradients), (expected, wanted) = results
    assert len(found["mask_logits"]) == 7 - 2 * len(maskless)
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
    tf.nest.map_structure(np.testing.assert_array_equal, gradients, wanted)
    assert any(np.any(gradient) for gradient in gradients)


def test_the_host_computes_all_that_depends_on_the_number_of_positives():
    """So that a GPU is waited for once, when it has sent the packed RoIs."""
    batch, masks = batch_of(TWO_IMAGES), branch(Filling(8))
    pyramid = [tf.zeros([2, 96 // s, 128 // s, CHANNELS]) for s in (4, 8)]

    def step(batch, sampled):
        return masks.training_step(pyramid, sampled, sampled.rois.shape[1], batch, True)

    graph = tf.function(step).get_concrete_function(batch, sample((2, 1), batch)).graph
    by_host = [op for op in graph.get_operations() if op.device.endswith("CPU:0")]
    assert {"Where", "GatherNd", "AwsdetPolygonTargets", "AwsdetRleTargets"} <= {op.type for op in by_host}
    others = [op for op in graph.get_operations() if op not in by_host and op.type not in ("Placeholder", "Const")]
    needed = {value.name for op in by_host for value in op.inputs}
    (packed,) = [op for op in others if needed & {value.name for value in op.outputs}]
    assert packed.type == "StridedSlice" and packed.outputs[0].shape == [2, SAMPLES, 6]
    assert not any(op.type in ("Where", "GatherNd") or "Ragged" in op.name for op in others)

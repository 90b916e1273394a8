"""Mask head (He et al. 2017): the network, its targets, its loss, the masks of detections.

Symbols: B images, P positive RoIs of a batch, Q of them with filling, M = 28 side of a mask, C classes, D detections
per image.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection.losses import Mean, Terms, binary_cross_entropy, count
from awsdet.models.layers import norms
from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.upsample import Upsample, interleave
from awsdet.ops.mask_targets import polygon_targets, rle_targets


class MaskHead(tf.keras.layers.Layer):
    """3x3 convolutions, a transposed one that doubles the size, and a 1x1 predictor, only for the class of each RoI.

    Attributes:
        wants_real: in training, `call` needs to know the RoIs that are not filling: for a batch norm.
    """

    def __init__(
        self,
        in_channels,
        convs,
        channels,
        num_classes,
        class_agnostic,
        *,
        norm="none",
        initializers,
        dtype,
        name="roi_head.mask_head",
    ):
        super().__init__(name=name, dtype=dtype)
        self.class_agnostic, self.wants_real = class_agnostic, norm in norms.LIVE_NORMS
        conv = conv_maker(initializers.kaiming_normal, dtype=dtype)
        widths = [in_channels, *[channels] * convs]
        self.convs = [
            conv(widths[index], channels, 3, norm=norm, relu=True, name=f"{name}.convs.{index}.conv")
            for index in range(convs)
        ]
        path = f"{name}.upsample"
        initializer = initializers.kaiming_upsample(path)
        self.upsample = Upsample(widths[-1], channels, initializer=initializer, name=path, dtype=dtype)
        self.logits = conv(channels, 1 if class_agnostic else num_classes, 1, name=f"{name}.conv_logits")
        self.built = True

    def call(self, pooled, classes, training=False, real=None):
        """RoI features [P, 14, 14, channels] and the class of each RoI, integers [P] -> logits float32 [P, 28, 28].

        `real` bool [P]: see `Conv.call`; None: all are.
        """
        features = pooled
        for conv in self.convs:
            features = conv(features, training=training, real=real)
        pixels = self.upsample(features)
        channel = tf.zeros_like(classes) if self.class_agnostic else classes
        # Only the kernel column of each RoI's class: the other C - 1 masks are not needed.
        kernel = tf.gather(tf.transpose(self.logits.kernel[0, 0]), channel)
        kernel = tf.cast(kernel, pixels.dtype)[:, :, tf.newaxis]
        flat = tf.reshape(pixels, [-1, 4 * pooled.shape[1] * pooled.shape[2], pixels.shape[5]])
        logits = tf.cast(tf.matmul(flat, kernel), tf.float32)[..., 0]
        logits += tf.gather(self.logits.bias, channel)[:, tf.newaxis]
        logits = tf.reshape(logits, [-1, pooled.shape[1], pooled.shape[2], 2, 2, 1])
        return interleave(logits)[..., 0]


@dataclasses.dataclass(frozen=True)
class Filling:
    """How the positives of a batch are filled up with empty RoIs, so that few different numbers of RoIs occur.

    The number of positives changes from step to step, and a GPU tunes each convolution again for every new number.

    Attributes:
        multiple: the RoIs are filled up to a multiple of this, to at least one such.
        per_image: `multiple` is meant per image of the batch. With 8 and at most 128 positives per image, 16 numbers
            can occur at any batch size. The cost is half of `multiple` unused RoIs on average.
    """

    multiple: int = 8
    per_image: bool = False

    def filled(self, positives, images):
        """Q, the number of RoIs, for int32 scalars: P positives of B images."""
        step = self.multiple * tf.maximum(images, 1) if self.per_image else self.multiple
        # Without positives one step: oneDNN has no filter gradient of an empty batch.
        return tf.maximum(-(-positives // step), 1) * step


class PositiveRoIs(NamedTuple):
    """The P positives of a batch whose objects have masks, and empty RoIs that fill them up to Q.

    `real` leaves out the filling.
    """

    boxes: tf.Tensor  # float32 [Q, 4]
    image_index: tf.Tensor  # int32 [Q]
    truth: tf.Tensor  # int32 [Q], the index in its image of the object that each was matched to
    labels: tf.Tensor  # int32 [Q], the class of that object
    count: tf.Tensor  # int32 scalar, P

    def real(self):
        """(boxes, image_index, truth) of the P positives."""
        return tuple(part[: self.count] for part in (self.boxes, self.image_index, self.truth))

    def is_real(self):
        """bool [Q], which are not filling."""
        return tf.range(tf.shape(self.boxes)[0]) < self.count


def packed_rois(sampled, limit):
    """All of a `box_head.RoISample` that `positive_rois` needs, in one tensor: float32 [B, limit, 6].

    They are box, truth and 1 for a positive. Numbers of objects are exact in float32. `limit`: the most positives per
    image, which come first.
    """
    numbers = (tf.cast(part, tf.float32)[..., tf.newaxis] for part in (sampled.truth, sampled.positive))
    return tf.concat([sampled.rois, *numbers], axis=2)[:, :limit]


def positive_rois(packed, classes, masks, filling):
    """The PositiveRoIs of `packed_rois`.

    `classes` int32 [B, G]: of the objects; `masks`: the batch's dict of ragged polygons and rles; `filling`: Filling.
    Positives of objects without a mask are left out: they would teach the head that there is nothing.
    """
    slots = tf.where(packed[..., 5] > 0)
    truth = tf.cast(tf.gather_nd(packed[..., 4], slots), tf.int32)
    rows = object_rows(masks, tf.cast(slots[:, 0], tf.int32), truth)
    slots = tf.boolean_mask(slots, tf.gather(_have_masks(masks), rows))
    rois = tf.gather_nd(packed, slots)
    image_index, truth = tf.cast(slots[:, 0], tf.int32), tf.cast(rois[:, 4], tf.int32)
    labels = tf.gather_nd(classes, tf.stack([image_index, truth], axis=1))
    images, number = tf.shape(packed)[0], tf.shape(rois)[0]
    spare = filling.filled(number, images) - number
    parts = (rois[:, :4], image_index, truth, labels)
    return PositiveRoIs(*(tf.pad(part, [[0, spare]] + [[0, 0]] * (part.shape.rank - 1)) for part in parts), number)


def object_rows(masks, image_index, truth):
    """Where objects lie among those of all images: int32 [P]. The arguments are those of `mask_targets`."""
    return tf.gather(tf.cast(masks["polygons"].row_starts(), tf.int32), image_index) + truth


def _have_masks(masks):
    """Which objects of all images have polygons, or run lengths with a pixel: bool [N]. One run is of zeros alone."""
    return (masks["polygons"].values.row_lengths() > 0) | (masks["rles"].values.row_lengths() > 1)


def mask_targets(masks, image_size, rois, image_index, truth, size):
    """Targets float32 [P, size, size] of the positives.

    `masks`: the batch's dict of ragged polygons and rles; `image_size` int32 [B, 2]; `rois` float32 [P, 4];
    `image_index`, `truth` int32 [P]: the image of each RoI, and the index in it of the object it was matched to.
    """
    polygons, rles = masks["polygons"], masks["rles"]
    objects = object_rows(masks, image_index, truth)
    from_polygons = polygon_targets(polygons.values, objects, rois, size)
    object_size = tf.gather(image_size, rles.value_rowids())
    from_rles = rle_targets(rles.values, objects, object_size, rois, size)
    return tf.maximum(from_polygons, from_rles)


def mask_terms(logits, targets, loss_weight):
    """Losses and metrics of mask logits against targets, both [P, M, M]. Returns Terms.

    mask_loss: mean binary cross entropy over the pixels of the positives; mask_accuracy: share of the pixels that are
    right.
    """
    is_object = targets > 0.5
    total = tf.reduce_sum(binary_cross_entropy(is_object, logits)) * loss_weight
    pixels = tf.cast(tf.size(targets), tf.float32)
    return Terms({"mask_loss": Mean(total, pixels)}, {"mask_accuracy": Mean(count((logits > 0) == is_object), pixels)})


# ----------------------------------------------------------------------------------------------------------- detections


class DetectedRoIs(NamedTuple):
    """RoIs of the detections of a batch, and where their masks belong.

    Either the D' detections of all images, or one empty RoI if there are none; or, if `slots` is None, all B * D slots,
    of which those that are not used hold an empty RoI.
    """

    boxes: tf.Tensor  # float32 [D', 4]
    image_index: tf.Tensor  # int32 [D']
    classes: tf.Tensor  # int32 or int64 [D']
    valid: tf.Tensor  # bool [B, D], the slots that are used
    slots: tf.Tensor | None  # int32 [D', 2], image, and place among its detections

    def spread(self, values):
        """Puts values [D', …] of all RoIs at their places in [B, D, …], which is zero elsewhere."""
        shape = tf.concat([tf.shape(self.valid), tf.shape(values)[1:]], axis=0)
        if self.slots is None:
            values = tf.reshape(values, shape)
            valid = tf.reshape(self.valid, tf.concat([tf.shape(self.valid), tf.ones_like(shape[2:])], axis=0))
            return tf.where(valid, values, tf.zeros([], values.dtype))
        used = tf.math.count_nonzero(self.valid, dtype=tf.int32)
        return tf.scatter_nd(self.slots[:used], values[:used], shape)


def detected_rois(found, every_slot=None):
    """The DetectedRoIs of Detections.

    `every_slot`: take unused slots too. By default so on a machine with a GPU: counting the detections there would
    stop the GPU, and it tunes each convolution again for every new number of RoIs. A CPU computes only what is used.
    """
    if every_slot is None:
        every_slot = bool(tf.config.list_physical_devices("GPU"))
    batch, places = tf.unstack(tf.shape(found.classes))
    if every_slot:
        image_index = tf.range(batch * places) // tf.maximum(places, 1)
        # int64, because TensorFlow computes with int32 on the host.
        classes = tf.reshape(tf.maximum(tf.cast(found.classes, tf.int64), 0), [-1])
        return DetectedRoIs(tf.reshape(found.boxes, [-1, 4]), image_index, classes, found.valid, None)
    slots = tf.cast(tf.where(found.valid), tf.int32)
    # If there are none, an empty RoI stands in, which `spread` leaves out: in eager mode a convolution by oneDNN gives
    # an empty batch the wrong number of channels.
    slots = tf.concat([slots, tf.zeros([tf.cast(tf.shape(slots)[0] == 0, tf.int32), 2], tf.int32)], axis=0)
    boxes, classes = tf.gather_nd(found.boxes, slots), tf.maximum(tf.gather_nd(found.classes, slots), 0)
    return DetectedRoIs(boxes, slots[:, 0], classes, found.valid, slots)

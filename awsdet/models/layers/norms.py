"""Normalisation of features [B, H, W, C]: batch norm (frozen, live, over all ranks) and group norm.

These are plain functions; `layers.Conv` holds the variables. Parameters and statistics are float32 in every precision;
statistics of low-precision features are computed in float32. Symbols: B images, C channels; in heads R RoIs of side P.
"""

import math

import tensorflow as tf

from awsdet.ops import affine

LIVE = "batch_norm"  # statistics of the batch in each process
LIVE_NORMS = (LIVE, "sync_batch_norm")
BATCH_NORMS = ("frozen_batch_norm", *LIVE_NORMS)
NORMS = ("none", *BATCH_NORMS, "group_norm")
EPSILON = 1e-5
GROUPS = 32  # of group norm


def stored_batch_norm(features, gamma, beta, mean, variance, *, residual=None, relu=False, trainable=True):
    """Batch norm with stored statistics, plus `residual`, then ReLU if `relu`; see `ops.affine.batch_norm`."""
    options = {"residual": residual, "relu": relu, "trainable": trainable}
    return affine.batch_norm(features, gamma, beta, mean, variance, EPSILON, **options)


def batch_norm(features, gamma, beta):
    """Batch norm (Ioffe and Szegedy 2015) with the statistics of these features.

    Returns the normalised features and float32 [C] mean and unbiased variance.
    """
    return tf.compat.v1.nn.fused_batch_norm(features, gamma, beta, epsilon=EPSILON)


def sync_batch_norm(features, gamma, beta, shift, world, name):
    """Batch norm with the statistics of all ranks' features, each pixel weighing the same.

    Ranks may have different numbers and sizes of images. There are two exchanges, named after `name`: of the moments in
    the forward pass, and of their gradients in the backward pass. The gradients of `features` are those of the sum of
    all ranks' losses. The gradients of gamma and beta are this rank's share, so that averaging them over the ranks
    gives those of the mean loss, as for any other variable.

    Args:
        shift: float32 [C], the same on all ranks and near the mean. It is subtracted first, so that the variance is
            not the small difference of two large numbers; it does not change the result otherwise.
        world: `sum(tensor, name)` over the ranks.

    Returns the normalised features and float32 [C] mean and unbiased variance, the same on all ranks.
    """
    channels = features.shape[3]

    @tf.custom_gradient
    def normalized(features, gamma, beta):
        values = tf.cast(features, tf.float32)
        count = tf.cast(tf.size(values) // channels, tf.float32)
        own_mean, own_variance = tf.nn.moments(values, axes=[0, 1, 2])
        offset = own_mean - shift
        moments = tf.concat([[count], count * offset, count * (own_variance + tf.square(offset))], axis=0)
        total, first, second = tf.split(world.sum(moments, f"{name}.statistics"), [1, channels, channels])
        offset = first / total
        mean, variance = shift + offset, tf.maximum(second / total - tf.square(offset), 0.0)
        inverse = tf.math.rsqrt(variance + EPSILON)
        scale = gamma * inverse
        outputs = tf.cast(values * scale + (beta - mean * scale), features.dtype)

        def gradients(upstream, _mean, _variance):
            upstream = tf.cast(upstream, tf.float32)
            standard = (tf.cast(features, tf.float32) - mean) * inverse
            own_beta = tf.reduce_sum(upstream, axis=[0, 1, 2])
            own_gamma = tf.reduce_sum(upstream * standard, axis=[0, 1, 2])
            sums = world.sum(tf.concat([own_beta, own_gamma], axis=0), f"{name}.gradients")
            all_beta, all_gamma = tf.split(sums / total, 2)
            inputs = scale * (upstream - all_beta - standard * all_gamma)
            return tf.cast(inputs, features.dtype), own_gamma, own_beta

        unbiased = variance * total / tf.maximum(total - 1.0, 1.0)
        return (outputs, mean, unbiased), gradients

    return normalized(features, gamma, beta)


def masked_batch_norm(features, gamma, beta, real, mean, variance, world, name):
    """Batch norm of RoIs, of which only the real ones count: as `sync_batch_norm`, with the statistics of their pixels.

    Heads compute a fixed number of RoIs, some of which are empty slots. Each pixel of a real RoI on any rank weighs the
    same (Detectron2's NaiveSyncBatchNorm with stats_mode "N"). What the others hold changes nothing, not even if it is
    not finite. They come out as zeros, since the statistics may not suit them: if all real features are nearly equal,
    others would be blown up. If no rank has a real RoI, the statistics are the stored ones.

    Args:
        features: [R, P, P, C], P static.
        real: bool [R].
        mean, variance: float32 [C], the stored statistics, the same on all ranks.
        world: `sum(tensor, name)` over the ranks; a World of one process for the statistics of this process alone.

    Returns the normalised features and float32 [C] mean and unbiased variance, the same on all ranks.
    """
    pixels, channels = features.shape[1] * features.shape[2], features.shape[3]
    rows = real[:, tf.newaxis, tf.newaxis, tf.newaxis]

    def kept(values):
        return tf.where(rows, values, tf.zeros([], values.dtype))

    @tf.custom_gradient
    def normalized(features, gamma, beta):
        values = kept(tf.cast(features, tf.float32))
        count = pixels * tf.reduce_sum(tf.cast(real, tf.float32))
        own_mean = tf.reduce_sum(values, axis=[0, 1, 2]) / tf.maximum(count, 1.0)
        own_second = tf.reduce_sum(tf.square(kept(values - own_mean)), axis=[0, 1, 2])
        offset = own_mean - mean
        moments = tf.concat([[count], count * offset, own_second + count * tf.square(offset)], axis=0)
        total, first, second = tf.split(world.sum(moments, f"{name}.statistics"), [1, channels, channels])
        divisor = tf.maximum(total, 1.0)
        offset = first / divisor
        found_mean, found = mean + offset, tf.maximum(second / divisor - tf.square(offset), 0.0)
        unbiased = found * total / tf.maximum(total - 1.0, 1.0)
        found, unbiased = (tf.where(total > 0, part, variance) for part in (found, unbiased))
        inverse = tf.math.rsqrt(found + EPSILON)
        scale = gamma * inverse
        outputs = kept(tf.cast(values * scale + (beta - found_mean * scale), features.dtype))

        def gradients(upstream, _mean, _variance):
            upstream = kept(tf.cast(upstream, tf.float32))
            standard = (kept(tf.cast(features, tf.float32)) - found_mean) * inverse
            own_beta = tf.reduce_sum(upstream, axis=[0, 1, 2])
            own_gamma = tf.reduce_sum(upstream * standard, axis=[0, 1, 2])
            sums = world.sum(tf.concat([own_beta, own_gamma], axis=0), f"{name}.gradients")
            all_beta, all_gamma = tf.split(sums / divisor, 2)
            inputs = kept(scale * (upstream - all_beta - standard * all_gamma))
            return tf.cast(inputs, features.dtype), own_gamma, own_beta

        return (outputs, found_mean, unbiased), gradients

    return normalized(features, gamma, beta)


def group_norm(features, gamma, beta):
    """Group norm (Wu and He 2018) in 32 groups or, if 32 does not divide C, in the largest power of two that does."""
    channels = features.shape[3]
    groups = math.gcd(GROUPS, channels)
    shape = tf.shape(features)
    grouped = tf.reshape(tf.cast(features, tf.float32), [shape[0], shape[1] * shape[2], groups, channels // groups])
    mean, variance = tf.nn.moments(grouped, axes=[1, 3], keepdims=True)
    # The statistics are folded into a scale and an offset per image and channel: one multiplication and one addition
    # per feature.
    scale = tf.math.rsqrt(variance + EPSILON) * tf.reshape(gamma, [1, 1, groups, -1])
    offset = tf.reshape(beta, [1, 1, groups, -1]) - mean * scale
    return tf.cast(tf.reshape(grouped * scale + offset, shape), features.dtype)

"""How averaged gradients change the variables: clipping, loss scale, optimizer. On a GPU the host waits for nothing."""

import tensorflow as tf


def scales_loss(optimizer) -> bool:
    """Whether the optimizer works on the gradients of a scaled loss."""
    return isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)


def scale_of(optimizer):
    """{"loss_scale": the scale of the loss}, to be reported beside the losses; {} if it is not scaled."""
    return {"loss_scale": optimizer.loss_scale} if scales_loss(optimizer) else {}


def at_once(optimizer, variables):
    """The optimizer if it can change all variables in one operation, by its method `update`; None if it cannot.

    SGD and AdamW of `awsdet.training` can, also with averages of the weights (EMA). The other optimizers and a fixed
    loss scale go through Keras' `apply_gradients`, variable by variable.
    """
    if scales_loss(optimizer):
        return at_once(optimizer.inner_optimizer, variables) if optimizer.dynamic else None
    return optimizer if hasattr(optimizer, "can_update") and optimizer.can_update(variables) else None


def before_widening(gradient):
    """The 16 bits that `gradient` was cast to float32 from, or `gradient` itself if it was not.

    Mixed precision casts the gradient of each kernel by itself, which is a launch for each on a GPU. The operators of
    an update at once read 16 bits as well as 32, and TensorFlow drops a cast that nothing reads. What the ranks
    exchange stays float32, cast one by one: each gradient is sent as soon as it is there.
    """
    if tf.is_symbolic_tensor(gradient) and gradient.op.type == "Cast" and gradient.dtype == tf.float32:
        before = gradient.op.inputs[0]
        return before if before.dtype in (tf.float16, tf.bfloat16) else gradient
    return gradient


def unscaled(optimizer, gradients, variables):
    """(gradients, factor) of a scaled loss: `factor` * gradients are those of the loss itself."""
    if not scales_loss(optimizer):
        return gradients, 1.0
    if at_once(optimizer, variables):
        return gradients, 1.0 / optimizer.loss_scale
    return optimizer.get_unscaled_gradients(gradients), 1.0


def apply(optimizer, gradients, variables, norm, *, factor=1.0, clip_norm=0.0, loss=0.0):
    """One update by `factor` * gradients, whose global norm is `norm`.

    If the norm is not finite, a loss scale is lowered and the variables stay as they are; they also stay if all are
    changed at once. Other optimizers apply what they get.

    Args:
        clip_norm: the largest norm; 0: gradients are not clipped.
        loss: float32 scalar; if it is not finite, an update at once is left out as if the norm were not.

    Returns a list for `tf.control_dependencies`.
    """
    inner = at_once(optimizer, variables)
    if not inner:
        if clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
        done = optimizer.apply_gradients(zip(gradients, variables), experimental_aggregate_gradients=False)
        return [] if done is None else [done]
    if clip_norm:
        factor *= clip_norm * tf.minimum(1.0 / norm, 1.0 / clip_norm)  # as tf.clip_by_global_norm does
    finite = tf.math.is_finite(norm + loss)
    done = inner.update(gradients, variables, factor, finite)
    if scales_loss(optimizer):
        follow_overflow(optimizer, finite)
    return [] if done is None else [done]


def follow_overflow(optimizer, finite):
    """Changes a dynamic loss scale by Keras' rule. Keras branches on the host, which then waits for the GPU.

    Args:
        optimizer: a LossScaleOptimizer.
        finite: bool scalar, whether the gradients of this update are finite.
    """
    state = optimizer._loss_scale  # there is no public way to its variable
    scale, good_steps = state.current_loss_scale, state.counter
    counted = good_steps + 1
    grows = counted >= state.growth_steps
    larger = scale * state.multiplier
    larger = tf.where(grows & tf.math.is_finite(larger), larger, scale)
    smaller = tf.maximum(scale / state.multiplier, 1.0)
    good_steps.assign(tf.where(finite & ~grows, counted, tf.zeros_like(counted)))
    scale.assign(tf.where(finite, larger, smaller))

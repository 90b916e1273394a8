"""Says in plain words why a run broke off."""

import re

import tensorflow as tf
from absl import logging

from awsdet.training.optimizer import peak_learning_rate


def explain(error, config, world):
    """Logs what a TensorFlow error of the training step means; raises it again where it means nothing we know.

    Args:
        error: tf.errors.OpError.
        config: ConfigDict of the run.
        world: World.
    """
    text = error.message or ""
    if "non-finite loss" in text:
        logging.error("%s", non_finite_report(text, config, world.size))
    elif "Horovod" in text or "horovod" in text:
        logging.error(
            "rank %d: the exchange with the other ranks broke off, because one of them ended; see what it said before "
            "this line",
            world.rank,
        )
    elif isinstance(error, tf.errors.ResourceExhaustedError):
        logging.error(
            "rank %d is out of memory with %d images per step of at most %d px; lower data.batch_size (and raise "
            "train.accumulate_steps by as much) or %s, or use model.precision=mixed_float16",
            world.rank,
            config.data.batch_size,
            config.data.canvas or config.data.max_long_side,
            "data.canvas" if config.data.canvas else "data.max_long_side",
        )
    else:
        raise error


def non_finite_report(text, config, processes):
    """The message about a loss that is no number, from the text of the detector's own check."""
    fields = dict(re.findall(r"\[(\w+)=\] \[([^\]]*)\]", text[text.index("non-finite loss") :]))
    images = config.data.batch_size * processes * config.train.accumulate_steps
    settings = config.optimizer
    rate = peak_learning_rate(settings, images)
    terms = "\n".join(f"  {name:<16} {value}" for name, value in fields.items() if name.endswith("_loss"))
    return (
        f"the loss is not finite, so training stops; the checkpoints stay as they were\n{terms}\n"
        f"  rank {fields.get('rank')}, step {fields.get('step')}, image ids {fields.get('image_id')}\n"
        f"  peak learning rate {rate:g} for {images} images an update (the config gives {settings.learning_rate:g} for "
        f"{settings.base_batch})\n"
        "The usual cause is a learning rate too high for these images: lower optimizer.learning_rate, raise "
        "schedule.warmup_steps, or set optimizer.clip_norm (10, say)."
    )

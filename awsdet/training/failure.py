"""Explains why a run failed."""

import re

import tensorflow as tf
from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.training.optimizer import peak_learning_rate

_NO_ROOM = ("No space left on device", "Disk quota exceeded")


def explain(error, config, world, images, broken=lambda: None, manifest=None, save=lambda text: ""):
    """Logs what a TensorFlow error in the training step means; raises it again if that is not known.

    Args:
        error: one of `broken.FAILURES`.
        config: ConfigDict of the run.
        world: World.
        images: per update, over all ranks.
        broken: function that looks for a record that cannot be read, and returns what is wrong with it, or None.
        manifest: Manifest of the training records, which knows the images' own ids; None if there is none.
        save: function of the text of the error that saves a step whose loss or gradient is not finite, and returns a
            line that says where.

    Raises UserError if a record cannot be read.
    """
    text = getattr(error, "message", "") or ""
    if "non-finite loss" in text:
        logging.error("%s\n%s", non_finite_report(text, config, images, manifest), save(text))
    elif "Horovod" in text or "horovod" in text:
        logging.error(
            "rank %d: the exchange with the other ranks failed because one of them ended; see its messages before this "
            "line",
            world.rank,
        )
    elif any(reason in text for reason in _NO_ROOM):
        # TensorFlow has one exception for this and for a lack of memory.
        logging.error("rank %d cannot write (%s); make room, and go on with --resume", world.rank, text.strip())
    elif isinstance(error, tf.errors.ResourceExhaustedError):
        logging.error(
            "rank %d is out of memory with %d images of at most %d px per step; lower data.batch_size (and raise "
            "train.accumulate_steps by the same factor), lower %s, or use model.precision=mixed_float16",
            world.rank,
            config.data.batch_size,
            config.data.canvas or config.data.max_long_side,
            "data.canvas" if config.data.canvas else "data.max_long_side",
        )
    else:
        unreadable = broken()
        if unreadable:
            raise UserError(unreadable) from error
        raise error


def non_finite_report(text, config, images, manifest=None):
    """The message about a loss or gradient that is not finite, from the text of the detector's check.

    `images`: per update, over all ranks. `manifest`: see `explain`.
    """
    fields = dict(re.findall(r"\[(\w+)=\] \[([^\]]*)\]", text[text.index("non-finite loss") :]))
    settings = config.optimizer
    rate = peak_learning_rate(settings, images)
    shown = {name: value for name, value in fields.items() if name.endswith(("_loss", "_norm"))}
    terms = "\n".join(f"  {name:<16} {value}" for name, value in shown.items())
    ids = fields.get("image_id")
    if ids and manifest is not None and manifest.image_ids:
        ids = re.sub(r"-?\d+", lambda number: str(manifest.own_image_id(int(number[0]))), ids)
    what = "gradient" if "gradient_norm" in shown else "loss"
    return (
        f"the {what} is not finite, so training stops; the checkpoints are unchanged\n{terms}\n"
        f"  rank {fields.get('rank')}, step {fields.get('step')}, image ids {ids}\n"
        f"  peak learning rate {rate:g} for {images} images per update (the config gives {settings.learning_rate:g} "
        f"for {settings.base_batch})\n"
        "The usual cause is a learning rate too high for these images: lower optimizer.learning_rate, raise "
        "schedule.warmup_steps, or set optimizer.clip_norm (10, say)."
    )

"""What a run that starts on a GPU checks, and tells its user, before the first step."""

import os

import tensorflow as tf
from absl import logging

from awsdet.ops import library
from awsdet.runtime import gpu_fit, gpus
from awsdet.runtime.errors import UserError


def check_gpu(config):
    """Logs what the config means for this process's GPU. Does nothing without a GPU.

    Raises UserError if the operators have no code for it.
    """
    visible = tf.config.get_visible_devices("GPU")
    if not visible:
        return
    raw = tf.config.experimental.get_device_details(visible[0])
    gpu = gpu_fit.details(raw, gpus.memory(int(visible[0].name.rpartition(":")[2])))
    built_for = library.built_for()
    missing = gpu_fit.missing_code(built_for, [gpu])
    if missing:
        raise UserError(f"{missing}; build them again: {gpu_fit.REBUILD}")
    if "CUDA" not in built_for:
        logging.warning(
            "the operators are built without CUDA: they run on the host, and the GPU waits for it (make ops)"
        )
    for advice in advice_for(config, gpu):
        logging.log(logging.WARNING if advice.serious else logging.INFO, "%s", advice.text)


def advice_for(config, gpu):
    """A list of gpu_fit.Advice for a config on a Gpu."""
    if not gpu.capability:
        return []
    precision = config.model.precision
    backbone = config.model.backbone
    larger = (
        backbone.name != "resnet" or backbone.depth > 50 or backbone.groups > 1 or "cascade" in config.model.detector
    )
    return [
        *gpu_fit.compile_advice(gpu, os.environ.get("CUDA_CACHE_MAXSIZE", "not set, 1 GiB by default")),
        *gpu_fit.precision_advice(gpu, precision, tf.config.experimental.tensor_float_32_execution_enabled()),
        *gpu_fit.memory_advice(gpu, precision, config.data.batch_size, largest_size(config.data), larger),
    ]


def largest_size(data):
    """(height, width) of the largest batches of one orientation, with their padding; `data`: config.data."""
    if data.canvas:
        return data.canvas, data.canvas
    short = max(data.short_side_range) or max(data.short_sides)
    sides = sorted((min(short, data.max_long_side), data.max_long_side))
    return tuple(-(-side // data.pad_multiple) * data.pad_multiple for side in sides)

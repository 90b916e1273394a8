"""One rank of a job that warms up for an H100 that is not there: `warm_rank.py CONFIG OUTPUT WARM_SECONDS CHILD`.

Prints whether the job was stopped and its stall_seconds. TensorFlow must not have touched its devices by then.
"""

import os
import sys

import tensorflow as tf

from awsdet import config as config_module
from awsdet.cli.main import _start_logging
from awsdet.runtime.gpu_fit import Gpu
from awsdet.training.warming import Request, warm_up

path, output, seconds, child = sys.argv[1:]
_start_logging()
config = config_module.load(path, [f"train.warm_seconds={seconds}"])
print("ready", os.getpid(), flush=True)
command = [sys.executable, "-c", child]
warmed = warm_up(config, Request(path, [], output, False), lambda: Gpu("H100", (9, 0)), command)
tf.config.set_visible_devices([], "GPU")  # raises RuntimeError once TensorFlow has touched a device
print("warmed", *warmed, flush=True)

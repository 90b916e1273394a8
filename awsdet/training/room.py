"""Room for the checkpoints of a run, looked at before it begins."""

from typing import Any

from absl import logging

from awsdet.models.detector import Detector
from awsdet.runtime import room
from awsdet.training.checkpoint import best_to_keep
from awsdet.training.run_folder import RunFolder

_SLOTS = {"sgd": 1, "adamw": 2, "novograd": 1, "lamb": 2}  # arrays that an optimizer keeps per variable


def checkpoint_bytes(detector: Detector, config: Any) -> int:
    """About how large a checkpoint of this detector is."""
    settings = config.optimizer
    copies = _SLOTS[settings.name] + bool(settings.ema_decay) + (config.train.accumulate_steps > 1)
    trained = sum(variable.shape.num_elements() for variable in detector.trainable_variables)
    return 4 * (sum(variable.shape.num_elements() for variable in detector.variables) + copies * trained)


def check_room(folder: RunFolder, detector: Detector, config: Any) -> None:
    """Raises UserError if not even one more checkpoint fits; logs a warning if not all that the run keeps would."""
    train, size = config.train, checkpoint_bytes(detector, config)
    count = train.keep_last + best_to_keep(train) + 1  # a new one is written before an old one goes
    there = len(folder.checkpoints.paths())
    cure = "make room, or give another --output"
    room.check_room(folder.path, size, "the checkpoints (each)", cure)
    needed, free = max(count - there, 1) * size, room.free_bytes(folder.path)
    if needed > free:
        logging.warning(
            "%d more checkpoints need about %s, and %s has %s left: make room, or keep fewer "
            "(train.keep_last=%d, train.keep_best_count=%d)",
            max(count - there, 1),
            room.text_of_bytes(needed),
            folder.path,
            room.text_of_bytes(free),
            train.keep_last,
            best_to_keep(train),
        )

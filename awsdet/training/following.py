"""Evaluates the checkpoints of a run beside its training, as they are published."""

import time
from collections.abc import Callable, Iterator

from absl import logging

from awsdet import evaluation
from awsdet.inference import checkpoint
from awsdet.runtime.together import together
from awsdet.runtime.world import World
from awsdet.training import board
from awsdet.training.evaluations_folder import EvaluationsFolder, mark_of
from awsdet.training.fingerprint import records_digest
from awsdet.training.lookout import Lookout

_LOOK_SECONDS = 5.0  # between two looks for a new checkpoint


class Following:
    """Evaluates each checkpoint of a run once, oldest first. Every rank has one; the chief decides and writes.

    The numbers are those of an evaluation within training. What was evaluated lies in the folder, so a later process
    goes on after it.

    Args:
        lookout: Lookout, and folder: an open EvaluationsFolder; on other ranks than the chief None.
        prepare: function that takes the path of a checkpoint and returns (Detector, Manifest, ReaderOptions, …).
        world: World.
    """

    def __init__(
        self, lookout: Lookout | None, folder: EvaluationsFolder | None, prepare: Callable[..., tuple], world: World
    ):
        self._lookout, self._folder, self._prepare, self._world = lookout, folder, prepare, world
        self._kind = self._prepared = None

    def records(self, look_seconds: float = _LOOK_SECONDS) -> Iterator[dict | None]:
        """Yields each new record of metrics.jsonl, on other ranks None, until nothing more will come.

        Raises UserError if a checkpoint or the records cannot be used, or if the folder has evaluations of others.
        """
        while True:
            path, over = self._world.broadcast_object(together(self._world, self._next))
            if path is not None:
                yield self._evaluate(path)
            elif over:
                return
            else:
                time.sleep(look_seconds)

    def _next(self):
        """(path of a checkpoint that was taken in, or None; whether nothing more will come); on the chief."""
        if not self._world.is_chief:
            return None
        unfinished = self._folder.unfinished()  # the run may have dropped it since
        if unfinished is not None:
            return unfinished, False
        look = self._lookout.look()
        if look.path is None:
            return None, look.over
        held = self._folder.hold(look.path)
        if held is None:
            self._lookout.lost(look.path)
        else:
            self._lookout.taken(look.path)
        return held, False

    def _evaluate(self, path):
        info = together(self._world, lambda: self._load(path))
        detector, manifest, options, *_ = self._prepared
        record = {
            "step": info["step"],
            "epoch": info["epoch"],
            "seconds": info["seconds"],
            "checkpoint": mark_of(info),
            "records": records_digest(manifest),
        }
        together(self._world, lambda: self._folder and self._folder.check_records(record["records"]))
        logging.info(
            "evaluating step %d on the %d images of split %s", info["step"], manifest.num_images, manifest.split
        )
        output = self._folder.results_of(info["step"]) if self._world.is_chief else None
        metrics = evaluation.evaluate(detector, manifest, options, self._world, output)
        together(self._world, lambda: self._enter(record, metrics, info["config"]["train"]["pictures"]))
        return {**record, **metrics}

    def _load(self, path):
        """Has the detector of a checkpoint in `_prepared`. Returns the dict in its checkpoint.json."""
        info = checkpoint.read_info(path)
        kind = (info["config"], info["class_names"], info["category_ids"])
        if kind == self._kind:
            checkpoint.take_weights(self._prepared[0], path)  # what was traced serves again
        else:
            self._kind, self._prepared = None, self._prepare(path)
            self._kind = kind
        return info

    def _enter(self, record, metrics, pictures):
        if not self._world.is_chief:
            return
        detector, manifest, options, *_ = self._prepared
        writer = self._folder.writer
        board.write_pictures(writer, record["step"], detector, manifest, options, pictures)
        board.write_evaluation(writer, {**record, **metrics})
        self._folder.enter(record, metrics)

"""How far a run has got, as a plain value: what a checkpoint or a commit holds besides the variables."""

from typing import Any, NamedTuple

from awsdet.data.reader.position import Position
from awsdet.training.pace import Pace, Reference
from awsdet.training.steps import Mark


class Progress(NamedTuple):
    """How far a run has got. It never changes in place.

    mark: the present step.
    updated: the last update of the weights, which is earlier if gradients are being accumulated.
    images: per step, accumulate: steps per update, and processes: their number, of those that came here.
    reference: the steps that the run began with.
    schedule: the place in the learning-rate schedule, in updates of the reference; None: the number of updates.
    seconds: that the run has taken.
    metrics: of an evaluation at this step, or None.
    elastic: whether the number of processes may differ from that of the reference.
    """

    mark: Mark
    updated: Mark
    images: int
    accumulate: int
    processes: int
    reference: Reference
    schedule: float | None = None
    seconds: float = 0.0
    metrics: dict | None = None
    elastic: bool = False

    def at(self, pace: Pace, processes: int) -> "Progress":
        """Where processes of this Pace go on: here if they can, otherwise at the last update.

        Gradients that were accumulated since then are of use to a run of one process that goes on as before. Other
        processes read the images of the update again: they make it of other steps, and a checkpoint holds only what
        rank 0 accumulated.
        """
        same = (pace.images, pace.accumulate, processes) == (self.images, self.accumulate, self.processes)
        if self.mark == self.updated or (same and processes == 1):
            return self
        return self._replace(mark=self.updated, metrics=None)

    def as_info(self) -> dict[str, Any]:
        """The JSON-ready entries of a checkpoint's description, see `from_info`."""
        return {
            "step": self.mark.step,
            "epoch": self.mark.position.epoch,
            "images_read": self.mark.images,
            "position": self.mark.position,
            "updated": self.updated,
            "images_per_step": self.images,
            "accumulate_steps": self.accumulate,
            "processes": self.processes,
            "reference": self.reference,
            "schedule_position": self.schedule,
            "elastic": self.elastic,
            "seconds": self.seconds,
            "metrics": self.metrics,
        }

    @classmethod
    def from_info(cls, info: dict[str, Any]) -> "Progress":
        """The Progress in the description of a checkpoint."""
        images = info["images_per_step"]
        if "position" not in info:  # written before there were elastic runs
            accumulate = info["config"]["train"].get("accumulate_steps", 1)
            step, per_epoch = info["step"], info["steps_per_epoch"]
            marks = [_mark(s, per_epoch, images) for s in (step, step // accumulate * accumulate)]
            reference = Reference(images, accumulate)
            processes = images // info["config"]["data"]["batch_size"]
            return cls(*marks, images, accumulate, processes, reference, None, info["seconds"], info["metrics"])
        step, read, position = info["updated"]
        return cls(
            Mark(info["step"], info["images_read"], Position.of(info["position"])),
            Mark(step, read, Position.of(position)),
            images,
            info["accumulate_steps"],
            info["processes"],
            Reference(*info["reference"]),
            info["schedule_position"],
            info["seconds"],
            info["metrics"],
            info["elastic"],
        )


def _mark(step, per_epoch, images):
    position = Position(step // per_epoch).advanced(images, step % per_epoch)
    return Mark(step, step * images, position)

"""Where a run is in its data: a plain value, from which any number of processes can read on.

A segment is a part of an epoch that was read in steps of one size: (images per step over all ranks, steps). The first
segment of an epoch has a plan for all its images. Each later one has a plan for the images that the earlier ones left,
so that every image comes once however often the number of processes changes (see `plan.train_epoch`).
"""

from typing import Any, NamedTuple


class Position(NamedTuple):
    """epoch: whole epochs done; segments: of the epoch that has begun, a tuple of (images per step, steps)."""

    epoch: int = 0
    segments: tuple[tuple[int, int], ...] = ()

    def advanced(self, images: int, steps: int) -> "Position":
        """The position after more steps of `images` images in the same epoch.

        Steps of the size of the last segment prolong it: a plan goes on after an interruption as if there were none.
        """
        if steps == 0:
            return self
        *earlier, last = self.segments or [(images, 0)]
        if last[0] != images:
            return Position(self.epoch, (*self.segments, (images, steps)))
        return Position(self.epoch, (*earlier, (images, last[1] + steps)))

    def split(self, images: int) -> tuple[tuple[tuple[int, int], ...], int]:
        """(segments with plans of their own, steps to skip in the plan after them) to read on in steps of `images`."""
        if self.segments and self.segments[-1][0] == images:
            return self.segments[:-1], self.segments[-1][1]
        return self.segments, 0

    @classmethod
    def of(cls, value: Any) -> "Position":
        """From what JSON makes of a Position: [epoch, [[images, steps], …]]."""
        epoch, segments = value
        return cls(epoch, tuple((images, steps) for images, steps in segments))

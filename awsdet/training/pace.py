"""Images per update, learning rate and length of a run whose number of processes changes.

The rule: a run keeps the images per update that it began with (`Reference`). If a step of the present processes has a
whole fraction of these images, gradients are accumulated over that many steps, and nothing else changes. Otherwise they
are accumulated over the number of steps that comes nearest, and the learning rate is scaled by the images per update,
unless optimizer.scale_learning_rate is off. The schedule goes on in updates of the reference: an update of twice the
images counts as two. So warm-up, decays and the end of a run come after the same number of images in any world.
"""

from typing import NamedTuple


class Reference(NamedTuple):
    """The steps that a run began with. images: per step over all ranks; accumulate: steps per update."""

    images: int
    accumulate: int = 1


class Pace(NamedTuple):
    """The steps of the present processes.

    images: per step over all ranks; accumulate: steps per update; ratio: images per update, of those of the reference.
    """

    images: int
    accumulate: int
    ratio: float

    @property
    def images_per_update(self) -> int:
        return self.images * self.accumulate


def pace_of(reference: Reference, images: int) -> Pace:
    """The Pace of processes that read `images` images per step."""
    wanted = reference.images * reference.accumulate
    accumulate = max(1, (2 * wanted + images) // (2 * images))  # the nearest whole number
    return Pace(images, accumulate, accumulate * images / wanted)


def described(pace: Pace, scaled: bool) -> str:
    """The Pace in words. `scaled`: whether the learning rate follows the images per update."""
    text = f"{pace.images} images per step, {pace.accumulate} step(s) and {pace.images_per_update} images per update"
    if pace.ratio == 1:
        return f"{text}, as at the start of the run; the learning rate stays"
    change = f"{pace.ratio:.4g} times those at the start of the run"
    return f"{text}, {change}; the learning rate " + (f"is {pace.ratio:.4g} times that" if scaled else "stays as given")

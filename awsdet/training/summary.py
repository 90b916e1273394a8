"""What a run will do, in words, from the values that decide it: for the start of its log, and for `awsdet doctor`."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import trainable_records
from awsdet.data.reader.sizes import resize_plan
from awsdet.data.records.manifest import Manifest
from awsdet.training import schedule as schedules
from awsdet.training.checkpoint import best_to_keep
from awsdet.training.evaluating import evaluation_due
from awsdet.training.first_losses import FirstLoss
from awsdet.training.parameters import Part
from awsdet.training.saving import checkpoint_due
from awsdet.training.steps import Steps

UNKNOWN = "not known without records"


class Facts(NamedTuple):
    """What decides what a run does.

    Attributes:
        config: ConfigDict.
        train, evaluation: Manifests, or None.
        num_classes: C.
        parts: of the detector.
        processes: their number; images: per step, over all of them; accumulate: steps per update.
        update_steps: steps per update of the schedule; others than `accumulate` in an elastic run whose pace changed.
        steps: Steps of the run, at its present step; None if its length is not known.
        peak: the learning rate after the warm-up.
        schedule: the learning-rate schedule; None if it is not known, as without records.
        first: FirstLosses of the heads that are new.
        start: what the weights are, in words; empty if that has been said.
        factors: what rules and layer_decay apply to, in words; empty if there are none, or if that has been said.
    """

    config: Any
    train: Manifest | None
    evaluation: Manifest | None
    num_classes: int
    parts: list[Part]
    processes: int
    images: int
    accumulate: int
    update_steps: float
    steps: Steps | None
    peak: float
    schedule: Any
    first: list[FirstLoss]
    start: str = ""
    factors: Sequence[str] = ()


class Line(NamedTuple):
    """A line of the summary."""

    label: str
    text: str


def lines(facts: Facts) -> Iterator[Line]:
    """The summary, one Line per subject."""
    yield Line("data", _data(facts))
    yield Line("images", _images(facts))
    yield Line("augmentation", _augmentation(facts.config.data))
    yield Line("model", _model(facts))
    if facts.start:
        yield Line("start", facts.start)
    yield Line("length", _length(facts))
    yield Line("learning rate", _rates(facts))
    if facts.factors:
        yield Line("factors", "; ".join(facts.factors))
    yield Line("evaluation", _evaluations(facts))
    if facts.first:
        yield Line("first losses", _first_losses(facts.first))


def _data(facts):
    train, settings = facts.train, facts.config.data
    if train is None:
        return f"{UNKNOWN}; {facts.num_classes} classes"
    empty = int((train.num_objects == 0).sum())
    left_out = "are left out" if not settings.keep_empty else "have no object"
    counts = train.annotations
    objects = _counted(counts.objects, "object") if counts else _counted(int(train.num_objects.sum()), "box")
    text = f"{_counted(train.num_images, 'image')} of {train.split} ({empty:,} {left_out})"
    text += f", {objects} of {_counted(facts.num_classes, 'class')}"
    held_out = facts.evaluation
    return text + (f"; {_counted(held_out.num_images, 'image')} of {held_out.split} to evaluate" if held_out else "")


def _images(facts):
    data, image = facts.config.data, facts.config.model.image
    if data.canvas:
        low, high = (round(scale * data.canvas) for scale in data.jitter_scales)
        text = f"long side {low} to {high} px, in a canvas of {data.canvas} x {data.canvas} px"
    else:
        ranged = any(data.short_side_range)
        short = " to ".join(map(str, data.short_side_range)) if ranged else " or ".join(map(str, data.short_sides))
        text = f"short side {short} px, long side at most {data.max_long_side}{_seen(facts)}"
        if min(data.crop) < 1:
            text += f", after a crop to {data.crop[0]:g} x {data.crop[1]:g} or more"
    channels = "BGR" if image.bgr else "RGB"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (image.mean, image.std))
    return f"{text}; {channels} minus ({mean}), divided by ({std})"


def _augmentation(data):
    parts = []
    if data.flip_probability:
        parts.append(f"mirrored with probability {data.flip_probability:g}")
    if data.canvas or min(data.crop) < 1:
        parts.append("a crop holds an object" if data.crop_keeps_object else "crops anywhere")
        if data.min_visible:
            parts.append(f"objects of which less than {data.min_visible:.0%} is left are dropped")
        if data.boxes_from_masks:
            parts.append("boxes of cut objects from their masks")
    if data.copy_paste:
        most = f"up to {_counted(data.copy_paste_objects, 'object')} of another image pasted on"
        parts.append(f"{most} with probability {data.copy_paste:g}")
    colours = [f"{name} {data[name]:g}" for name in ("brightness", "contrast", "saturation", "hue") if data[name]]
    return "; ".join([*parts, ", ".join(colours)] if colours else parts) or "none"


def _seen(facts):
    """The smallest and the largest size that images of the records get, in words; empty if there are no records."""
    data = facts.config.data
    if facts.train is None:
        return ""
    rows = trainable_records(facts.train, reader_options(data))
    shorts = data.short_side_range if any(data.short_side_range) else data.short_sides
    sizes = []
    for short in (min(shorts), max(shorts)):
        plan = resize_plan(facts.train.height[rows], facts.train.width[rows], short, data.max_long_side)
        sizes.append(np.stack(plan, axis=1))
    sizes = np.concatenate(sizes)
    area = sizes.prod(axis=1)
    least, most = (f"{width} x {height}" for height, width in (sizes[area.argmin()], sizes[area.argmax()]))
    return f" ({least} px)" if least == most else f" ({least} to {most} px)"


def _model(facts):
    model, parts = facts.config.model, facts.parts
    total, frozen = sum(part.trained + part.frozen for part in parts), sum(part.frozen for part in parts)
    whole = [part.name for part in parts if part.frozen and not part.trained]
    partly = [part.name for part in parts if part.frozen and part.trained]
    names = ", ".join([*whole, *(f"parts of {name}" for name in partly)])
    text = f"{model.detector}, {model.precision}, {millions(total)} million parameters, "
    text += f"of which {millions(frozen)} million are frozen ({names})" if frozen else "none of them frozen"
    return f"{text}; {model.backbone.norm} in the backbone"


def millions(count: int) -> str:
    """A number of parameters, in millions."""
    return f"{count / 1e6:.3g}"


def _length(facts):
    steps = facts.steps
    each = f"{_counted(facts.images, 'image')} per step ({_counted(facts.processes, 'process')})"
    if facts.accumulate > 1:
        each += f", {facts.accumulate} steps and {facts.images * facts.accumulate} images per update"
    if steps is None:
        most = facts.config.train.max_steps
        return f"{_counted(facts.config.train.epochs, 'epoch')}{f', {most} steps at most' if most else ''}; {each}"
    since = f", of which {steps.step:,} are done" if steps.step else ""
    epochs = steps.total / steps.per_epoch
    lengths = f"{_number(epochs)} epoch{'s' * (epochs != 1)} of {_counted(steps.per_epoch, 'step')}"
    return f"{_counted(steps.total, 'step')}{since}, {lengths}; {each}"


def _rates(facts):
    settings, peak, ratio = facts.config.schedule, facts.peak, facts.config.schedule.warmup_ratio
    text = f"{facts.config.optimizer.name}, "
    if settings.warmup_steps:
        warm_up = settings.warmup_steps
        text += f"{peak * ratio:.3g} rising to {peak:.3g} by {_at(facts, warm_up)}"
        steps = facts.steps
        if steps is not None and warm_up * facts.update_steps >= steps.total:
            return f"{text}, which this run does not reach: it ends within its warm-up"
    else:
        text += f"{peak:.3g} from the start"
    return text + _decays(facts, peak)


def _decays(facts, peak):
    settings, schedule = facts.config.schedule, facts.schedule
    if isinstance(schedule, schedules.Cosine):
        return f", then along a cosine to {peak * schedule.final_ratio:.3g} at {_at(facts, schedule.updates)}"
    if isinstance(schedule, schedules.StepDecay):
        updates = facts.steps.total / facts.update_steps
        reached = [boundary for boundary in schedule.boundaries if boundary < updates]
        rates = (peak * schedule.decay_factor**number for number in range(1, len(reached) + 1))
        decays = [f"{rate:.3g} from {_at(facts, boundary)}" for rate, boundary in zip(rates, reached)]
        return f", then {', '.join(decays)}" if decays else ", then it stays"
    if settings.name == "step" and any(settings.decay_updates):
        updates = ", ".join(f"{update:,}" for update in settings.decay_updates)
        return f", then times {settings.decay_factor:g} after each of the updates {updates}"
    if settings.name == "step" and not any(settings.decay_shares):
        epochs = ", ".join(map(str, settings.decay_epochs))
        return f", then times {settings.decay_factor:g} after each of the epochs {epochs}"
    return f", then as schedule.name={settings.name} has it"


def _at(facts, update):
    """A point of the schedule in words: step and, if it is known, epoch."""
    step = round(update * facts.update_steps)
    if facts.steps is None:
        return f"step {step:,}"
    return f"step {step:,} (epoch {_number(step / facts.steps.per_epoch)})"


def _evaluations(facts):
    train, steps = facts.config.train, facts.steps
    if steps is None:
        return f"after every {_ordinal(train.evaluate_every_epochs)}epoch" if train.evaluate_every_epochs else "never"
    evaluated, saved = due_steps(steps, train)
    text = f"{_counted(len(evaluated), 'time')}, first at step {evaluated[0]:,}" if evaluated else "never"
    text += f"; {_counted(saved, 'checkpoint')}, of which the last {train.keep_last}"
    count = best_to_keep(train) if evaluated else 0
    return text + (f" and the best{f' {count}' if count > 1 else ''}" if count else "") + " are kept"


def due_steps(steps: Steps, train: Any) -> tuple[list, int]:
    """(the steps after the present one that are evaluated, the number of checkpoints); `train`: config.train."""
    there = copy.copy(steps)
    evaluated, saved = [], set()
    if train.checkpoint_every_steps:
        every = train.checkpoint_every_steps
        saved.update(range((steps.step // every + 1) * every, steps.total + 1, every))
    while there.step < steps.total:
        there.step = min(there.step + there.rest, steps.total)
        if evaluation_due(there, train):
            evaluated.append(there.step)
        if checkpoint_due(there, train) or there.step == steps.total:
            saved.add(there.step)
    return evaluated, len(saved)


def _first_losses(first):
    named = (
        f"{one.name[:-5]} {one.value:.2f} {'or a little more ' * bool(one.background)}({one.why})" for one in first
    )
    return f"{', '.join(named)}, since their heads are new; the others follow from the data"


def _ordinal(count):
    return "" if count == 1 else f"{count}th " if count > 3 else ("second ", "third ")[count - 2]


def _counted(count, noun):
    plural = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def _number(value):
    """A number of epochs: whole, or with three digits."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def table(parts: Iterable[Part]) -> list[str]:
    """The parameters of each Part as lines of a table."""
    rows = [("part", "trained", "frozen"), *((part.name, f"{part.trained:,}", f"{part.frozen:,}") for part in parts)]
    return [f"{name:<14}{trained:>12}{frozen:>12}" for name, trained, frozen in rows]

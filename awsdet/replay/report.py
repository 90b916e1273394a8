"""What a failed step has to tell, in words."""

from collections.abc import Iterator

import numpy as np

from awsdet.replay.data_faults import data_faults
from awsdet.replay.failed_step import FailedStep
from awsdet.replay.origin import CAST, OUTSIDE, origins, way_back
from awsdet.replay.rerun import Outcome, Rerun, Trace
from awsdet.training.run_folder import versions

_BEFORE, _AFTER = 8, 4  # rows of the table before and after the first part with numbers that are not finite
_NAMED = 5  # of many things of one kind, so many are named


def report(failed: FailedStep, precision: str = "") -> Iterator[str]:
    """Runs a FailedStep again, and yields what is found, line by line; precision: see `Rerun`."""
    found, info, model = failed.report, failed.info, failed.config.model
    yield (
        f"step {found.step} of rank {found.rank}, {info['processes']} process(es): {model.detector} in "
        f"{model.precision}, learning rate {info['learning_rate']:.3g}, images {', '.join(info['image_ids'])}"
    )
    rerun = Rerun(failed, precision)
    outcome = rerun.step()
    yield ""
    yield from _losses(failed, rerun, outcome)
    yield ""
    if outcome.finite:
        yield "The step is healthy here: all losses and gradients are finite."
        yield from _elsewhere(failed)
    else:
        yield from _first(rerun, outcome)
    if not outcome.finite and rerun.precision != "float32":
        yield ""
        yield from _in_float32(failed, rerun.precision)
    yield ""
    yield from _data(failed, rerun, outcome)


def _losses(failed, rerun, outcome):
    """The table of losses, and whether they are those of the run."""
    saved = {name: value for name, value in failed.report.terms.items() if name != "loss_scale"}
    yield f"{'loss':<24}{'in the run':>16}{'here':>16}"
    for name in dict.fromkeys([*saved, *outcome.terms]):
        shown = [f"{terms[name]:.9g}" if name in terms else "-" for terms in (saved, outcome.terms)]
        yield f"{name:<24}{shown[0]:>16}{shown[1]:>16}"
    if rerun.precision != failed.config.model.precision:
        yield f"The run was in {failed.config.model.precision}; here the step ran in {rerun.precision}."
        return
    # The gradients of the run are the mean over the ranks, and over the steps of an update.
    alone = failed.info["processes"] == 1 and failed.config.train.accumulate_steps == 1
    compared = [name for name in saved if name in outcome.terms and (alone or name != "gradient_norm")]
    pairs = np.float32([[saved[name], outcome.terms[name]] for name in compared]).reshape(-1, 2)
    if compared and np.array_equal(pairs[:, 0], pairs[:, 1], equal_nan=True):
        yield "The losses are those of the run, bit for bit."
        return
    yield f"The losses are not those of the run, bit for bit: {'; '.join(_differences(failed))}."


def _differences(failed):
    """What may make the losses differ."""
    config, here = failed.config, versions()
    found = [
        f"{name} was {value} and is {here.get(name, 'missing')}"
        for name, value in failed.info["versions"].items()
        if here.get(name) != value
    ]
    if failed.info["processes"] > 1:
        if config.train.loss_normalizer == "global":
            found.append("its losses were divided by counts of all ranks")
        if "sync_batch_norm" in _norms(config):
            found.append("its batch norms took statistics of all ranks")
    return found or ["the order of sums may differ from one time to the next"]


def _norms(config):
    model = config.model
    return {part.norm for part in (model.backbone, model.fpn, model.box_head, model.mask_head)}


def _elsewhere(failed):
    """Where the gradients came from that this rank and step do not have."""
    if "gradient_norm" not in failed.report.terms:
        return
    if failed.info["processes"] > 1:
        yield "The gradients of the run were the mean over all ranks: replay the folders of the others."
    if failed.config.train.accumulate_steps > 1:
        yield "The gradients of the run were the mean over the steps of an update: an earlier one may be the cause."


def _first(rerun, outcome):
    """Where the first number that is not finite appears."""
    losses = {name: value for name, value in outcome.terms.items() if name != "gradient_norm"}
    in_gradients = bool(np.isfinite(list(losses.values())).all())
    trace = rerun.trace(in_gradients)
    results = [number for number in trace.results.values() if not trace.sizes[number].finite]
    if not results and in_gradients:
        largest = max(trace.results, key=lambda name: trace.sizes[trace.results[name]].largest)
        size = trace.sizes[trace.results[largest]].largest
        yield f"Each gradient is finite, but their norm is too large for float32: that of {largest} is up to {size:.3g}"
        return
    if not results:
        yield (
            "With the size of each tensor computed beside them, all losses and gradients are finite: the sums of "
            "numbers near the limit of their type were made in another order."
        )
        return
    sources = origins(trace.sizes, results)
    bad = [name for name, number in trace.results.items() if number in set(results)]
    what = "gradients of " if in_gradients else ""
    yield f"not finite: {what}{_some(bad)}"
    yield f"The first number that is not finite appears in {_source(trace.sizes, sources[0])}"
    if len(sources) > 1:
        others = dict.fromkeys(trace.sizes[one].variable or trace.sizes[one].part for one in sources[1:])
        yield f"others, on their own, in {_some(list(others))}"
    if rerun.neutral:
        yield f"(the stored statistics of {len(rerun.neutral)} live batch norms already had this step in them)"
    yield ""
    yield from _table(trace, way_back(trace.sizes, results))


def _source(sizes, number):
    """The operation that made the first number that is not finite, and what it made it from."""
    size = sizes[number]
    if size.variable:
        return f"the weights: {size.variable} holds such numbers before the step"
    if size.kind == "Placeholder":
        return "the batch itself"
    text = f"{size.part}: {size.kind} in {size.dtype}"
    if not size.inputs:
        return text
    inputs = [f"{_of(sizes, one)} (at most {sizes[one].largest:.3g})" for one in size.inputs]
    return f"{text}, from {_some(inputs)}"


def _of(sizes, number):
    """What a tensor is called as an input: the variable that it is, or the part that made it."""
    size = sizes[number]
    if size.kind == CAST and size.inputs:
        return _of(sizes, size.inputs[0])
    return size.variable or (size.part if size.kind != "Placeholder" else "the batch")


def _table(trace: Trace, way):
    """The parts of the model in the order of their work, around the first with a number that is not finite."""
    rows, start = {}, None
    for number, size in enumerate(trace.sizes):
        if size.kind in ("ReadVariableOp", "Placeholder", "Const"):
            continue
        largest, bad = rows.get(size.part, (0.0, False))
        rows[size.part] = max(largest, size.largest if size.finite else 0.0), bad or number in way
        start = size.part if start is None and number in way else start
    names = [name for name in rows if name == start or not name.endswith(OUTSIDE)]
    start = names.index(start)
    low = max(0, start - _BEFORE)
    yield f"{'part of the model':<56}{'largest':>12}"
    if low:
        yield f"  … {low} parts before, at most {max(rows[name][0] for name in names[:low]):.3g}"
    for place in range(low, min(len(names), start + _AFTER)):
        largest, bad = rows[names[place]]
        mark = ("  <- first that is not finite" if place == start else "  not finite") if bad else ""
        shown = "-" if bad else f"{largest:.3g}"
        yield f"  {names[place]:<54}{shown:>12}{mark}"


def _in_float32(failed, precision):
    outcome: Outcome = Rerun(failed, "float32").step()
    if outcome.finite:
        yield f"In float32 all is finite: the range or the rounding of {precision} is the cause."
    else:
        yield f"In float32 it is not finite either, so {precision} is not the cause."


def _data(failed, rerun, outcome):
    names, classes = failed.info["image_ids"], len(failed.info["class_names"])
    faults = data_faults(failed.batch, names, classes)
    yield from faults[: 2 * _NAMED]
    if len(faults) > 2 * _NAMED:
        yield f"… and {len(faults) - 2 * _NAMED} more of these"
    if not faults:
        yield "data: no box without area or out of its image, no unknown class, no image of one colour"
    if outcome.finite or len(names) == 1:
        return
    alone = rerun.images_alone()
    bad = [name for name, finite in zip(names, alone) if not finite]
    if not bad:
        yield "images: a batch of any one of them is finite; only together they are not"
    elif len(bad) == len(names):
        yield "images: a batch of any one of them is not finite either, so no single image is the cause"
    else:
        yield f"images: a batch of {_some(bad)} alone is not finite; a batch of any other is"


def _some(names):
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

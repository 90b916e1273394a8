"""How a run starts, or goes on, in a world: all ranks get the same state, and what depends on their number is made."""

from typing import Any, NamedTuple

from absl import logging

from awsdet.inference.checkpoint import read_info
from awsdet.models.detector import Detector
from awsdet.runtime.together import together
from awsdet.runtime.world import Unfit
from awsdet.training import checkpoint, factors, optimizer, pace
from awsdet.training.batches import DatasetBatches, RecordBatches
from awsdet.training.committing import Commit, put_back
from awsdet.training.fingerprint import difference, fingerprint_of, sources_digest
from awsdet.training.inputs import Inputs, with_start
from awsdet.training.pretrained import fetch_on_chief
from awsdet.training.progress import Progress
from awsdet.training.run import Run, Timer
from awsdet.training.schedule import Followed, build_schedule
from awsdet.training.steps import Mark, Steps
from awsdet.training.transfer import take_weights
from awsdet.training.watch import Watch


class Parts:
    """What a process makes once, however often the world changes.

    Attributes:
        config, world, resume: of the run. dataset: of the user, or None.
        told: function that returns whether this process was told to stop.
        begun: when the process began, in seconds since 1970.
        sources: digest of awsdet's sources at the start of the process; empty if the world is not elastic.
        inputs, detector: None until they are prepared. problem: why they could not be, in an elastic world.
        optimizer, schedule: None until the first world knows the schedule.
        new_layers: names of the layers that are new although there are weights to start from. None: all are, or it is
            not known, as on other ranks than the chief.
        watch: Watch of the run, once it is known what it is to be judged by.
        commit: the last Commit of an elastic run, or None. token: of the lock of the run's folder, once it is known.
    """

    def __init__(self, config, world, resume, dataset, begun=0.0):
        self.config, self.world, self.resume, self.dataset, self.begun = config, world, resume, dataset, begun
        self.timer = Timer()
        self.told = lambda: False
        self.sources = sources_digest() if world.elastic else ""
        self.inputs: Inputs | None = None
        self.detector: Detector | None = None
        self.problem: Exception | None = None
        self.optimizer = self.schedule = None
        self.new_layers: frozenset | None = None
        self.watch: Watch | None = None
        self.commit: Commit | None = None
        self.token = ""

    def keep(self, commit):
        """Replaces the last commit."""
        self.commit = commit


def own_folder(parts: Parts) -> None:
    """Has the chief take the folder of the run, from the chief before if there was one.

    All ranks call it, in each world. Raises UserError, on all ranks, if another run writes there.
    """
    world, folder = parts.world, parts.inputs and parts.inputs.folder
    known = {token for token in world.gather_objects(parts.token) if token}
    if folder is not None and not world.is_chief:
        folder.let_go()
    takes = folder is not None and world.is_chief
    taken = together(world, lambda: folder.take(known) if takes else "")
    parts.token = world.broadcast_object(taken) or parts.token


class Origin(NamedTuple):
    """Where a world goes on. progress: None at the start of a run; root: the rank that has the state."""

    progress: Progress | None
    root: int = 0
    committed: bool = False  # whether the state is a commit; otherwise it is a checkpoint or, at the start, new


def find_origin(parts: Parts) -> Origin:
    """The Origin on which all ranks agree. Raises UserError, on all ranks, if a run cannot start.

    Raises Unfit in a process that cannot take part in an elastic run that others have begun.
    """
    world = parts.world
    if world.elastic:
        root = _newest_commit(parts)
        if root is not None:
            progress = world.broadcast_object(parts.commit and parts.commit.progress, root)
            return Origin(progress, root, True)
        parts.inputs = together(world, lambda: _chief_start(parts))
    start = parts.inputs.start
    info = world.broadcast_object(read_info(start) if start else None)
    return Origin(Progress.from_info(info) if info else None)


def _newest_commit(parts):
    """The rank that has the newest commit, or None if nobody has one."""
    mine = parts.commit and parts.commit.age, _fingerprint(parts)
    ages, prints = zip(*parts.world.gather_objects(mine))
    known = [age for age in ages if age is not None]
    if not known:
        together(parts.world, lambda: _raise(parts.problem))
        return None
    root = ages.index(max(known))
    unfit = None
    if parts.problem is not None:
        unfit = f"{type(parts.problem).__name__}: {parts.problem}"
    elif mine[1] != prints[root]:
        unfit = f"this process differs from the run that it was to join: {difference(mine[1], prints[root])}"
    if unfit:
        logging.error("%s; the run goes on without this process", unfit)  # rank 0 will not say it
        raise Unfit(unfit) from parts.problem
    return root


def _fingerprint(parts):
    """None if the process could not prepare itself."""
    if parts.detector is None:
        return None
    return fingerprint_of(parts.config, parts.inputs, parts.detector, parts.sources)


def _raise(problem):
    if problem is not None:
        raise problem


def _chief_start(parts):
    if not parts.world.is_chief:
        return parts.inputs
    return with_start(parts.inputs, parts.config, parts.resume, parts.world.size, elastic=True)


def start_from_weights(parts: Parts) -> None:
    """Gives the detector of rank 0 the weights of train.init_from. All ranks call it.

    Raises UserError or pretrained.Stopped, on all ranks.
    """
    world, weights = parts.world, parts.config.train.init_from
    fetch_on_chief(world, weights, parts.told)
    parts.new_layers = together(world, lambda: take_weights(parts.detector, weights) if world.is_chief else None)


def begin(parts: Parts, origin: Origin) -> tuple[Run, Any]:
    """Makes the Run of this world and gives all ranks its state. Returns it and the batches."""
    config, world = parts.config, parts.world
    batches = together(world, lambda: _batches(parts))
    stored = origin.progress
    elastic = world.elastic or (stored is not None and stored.elastic)
    images, accumulate = config.data.batch_size * world.size, config.train.accumulate_steps
    reference = stored.reference if elastic and stored else pace.Reference(images, accumulate)
    now = pace.pace_of(reference, images) if elastic else pace.Pace(images, accumulate, 1.0)
    progress = stored.at(now, world.size) if stored else None
    steps = _steps(config, batches, progress, now, reference)
    if elastic:  # other processes may have gone a little further than the last of these steps
        steps.total = max(steps.total, steps.step)
    if parts.optimizer is None:
        parts.schedule = _schedule(config, world, batches, reference, elastic)
        parts.optimizer = _compile(parts, now.accumulate)
    run = Run(
        config,
        parts.inputs,
        world,
        parts.detector,
        parts.optimizer,
        steps,
        parts.timer,
        now,
        reference,
        parts.schedule,
        elastic,
    )
    if progress and parts.commit is None:
        parts.timer.resume(progress.seconds)
    _set_state(run, parts, origin, progress)
    if elastic:
        _follow(run, progress)
    return run, batches


def _batches(parts):
    if parts.dataset is None:
        return RecordBatches(parts.config, parts.inputs.train, parts.world)
    return DatasetBatches(parts.config, parts.dataset, parts.world)


def _steps(config, batches, progress, now, reference):
    """Steps from the progress on, to the end of the epochs or to max_steps, which are counted as in the reference."""
    mark = progress.mark if progress else Mark()
    left = batches.left(mark.position)
    if left == 0:  # other processes have read the epoch to its end, in smaller steps
        mark = mark._replace(position=mark.position._replace(epoch=mark.position.epoch + 1, segments=()))
        left = batches.per_epoch
    epochs = config.train.epochs - mark.position.epoch
    total = mark.step + left + (epochs - 1) * batches.per_epoch
    if config.train.max_steps:
        rest = config.train.max_steps * reference.images - mark.images
        total = min(total, mark.step + -(-rest // now.images))
    updated = progress.updated if progress and progress.mark != progress.updated else mark
    return Steps(mark, batches.per_epoch, total, left, now.images, now.accumulate, updated)


def _schedule(config, world, batches, reference, elastic):
    """The learning-rate schedule in updates of the reference."""
    per_epoch = batches.per_epoch_of(reference.images)
    total = config.train.epochs * per_epoch
    total = min(total, config.train.max_steps or total)
    settings = config.optimizer
    if elastic:
        rate = optimizer.peak_learning_rate(settings, reference.images * reference.accumulate)
    else:
        rate = optimizer.scaled_learning_rate(settings, config.data.batch_size, world.size, reference.accumulate)
    schedule = build_schedule(config.schedule, rate, per_epoch, total, reference.accumulate)
    return Followed(schedule) if elastic else schedule


def _compile(parts, accumulate):
    """Makes the detector ready for `fit`. Returns the optimizer, with all its variables."""
    config, detector = parts.config, parts.detector
    factors.report(config.optimizer, detector)
    made = optimizer.build_optimizer(config.optimizer, parts.schedule, config.model.precision)
    detector.compile(
        made,
        world=parts.world,
        clip_norm=config.optimizer.clip_norm,
        accumulate_steps=accumulate,
        loss_normalizer=config.train.loss_normalizer,
        compression=config.optimizer.compression,
    )
    optimizer.create_slots(made, detector.trainable_variables)
    return made


def _set_state(run, parts, origin, progress):
    """Gives all ranks the same state: a new one, that of a checkpoint, or that of a commit."""
    world, detector = run.world, run.detector
    if run.elastic:
        detector.accumulate(run.pace.accumulate, run.steps.updated.step)
    rewound = progress is not None and progress.mark != origin.progress.mark
    # Gradients of an update that has begun; elsewhere they are zero.
    accumulated = not rewound and (not run.elastic or run.steps.mark != run.steps.updated)
    if origin.committed:
        if world.rank == origin.root:
            put_back(parts.commit, detector, run.optimizer)
    elif progress:
        together(world, lambda: _restore(run, accumulated) if world.is_chief else None)
    elif run.config.train.init_from and world.elastic:
        start_from_weights(parts)
    world.broadcast_variables(
        list(checkpoint.state_of(detector, run.optimizer, accumulated or not run.elastic).values()), origin.root
    )
    if progress:
        detector.step.assign(run.steps.step)


def _restore(run, accumulated):
    start = run.inputs.start
    checkpoint.restore(start, run.detector, run.optimizer, accumulated)
    logging.info("resumed from %s at step %d", start, run.steps.step)


def _follow(run, progress):
    """Tells the schedule how to go on, and the user what has changed."""
    updates = int(run.optimizer.iterations)
    position = progress.schedule if progress and progress.schedule is not None else float(updates)
    scaled = run.config.optimizer.scale_learning_rate
    factor = run.pace.ratio if scaled else 1.0
    run.schedule.set(updates, position, run.pace.ratio, factor)
    logging.info(
        "%d process(es) from step %d, epoch %d on: %s",
        run.world.size,
        run.steps.step,
        run.steps.epoch + 1,
        pace.described(run.pace, scaled),
    )

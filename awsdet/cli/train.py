"""Trains a detector, or continues a run that was stopped.

Start it with horovodrun or mpirun to train with several processes, and directly to train with one. If horovodrun has a
host discovery script, processes and hosts may come and go while the run goes on (docs/elastic.md).
"""

import functools
import os

from absl import flags, logging

from awsdet import config as config_module
from awsdet.cli.arguments import define_check, define_path
from awsdet.cli.ranks import run_on_all
from awsdet.config.idle import idle_overrides
from awsdet.runtime import gpu_fit
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet train`."""
    define_path("config", None, "config file; the folder configs/ has one per model", flag_values)
    define_path("output", None, "folder to write the run to", flag_values, written=True)
    flags.DEFINE_bool("resume", False, "continue from the newest checkpoint in --output", flag_values=flag_values)
    flags.DEFINE_integer(
        "processes", 0, "how many processes there must be; 0: any number", flag_values=flag_values, lower_bound=0
    )
    flags.DEFINE_bool("elastic", False, "with --check: the number of processes may change", flag_values=flag_values)
    define_check(flag_values, "train")


def run(flag_values, overrides, **warming):
    """Trains, then prints the COCO table. Returns the exit code. warming: arguments for `training.warming.warm_up`."""
    for name in ("config", "output"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet train --help)")
    config = config_module.load(flag_values.config, overrides)
    # Read when CUDA starts. Its own limit is too small for what TensorFlow compiles on new GPUs (docs/gpu.md).
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(gpu_fit.CACHE_BYTES))
    if flag_values.check:
        return _check(config, overrides, flag_values)
    warmed = _warm_up(config, flag_values, overrides, **warming)
    if warmed.stopped:
        return 0
    work = functools.partial(_train, config, overrides, flag_values)
    return run_on_all(work, flag_values.processes, warmed.stall_seconds, elastic=True)


def _warm_up(config, flag_values, overrides, **warming):
    from awsdet.runtime import processes
    from awsdet.training.warming import Request, warm_up

    processes.check_launch(flag_values.processes, elastic=True)
    request = Request(flag_values.config, overrides, flag_values.output, flag_values.resume)
    return warm_up(config, request, **warming)


def _train(config, overrides, flag_values, world):
    import psutil

    from awsdet.evaluation import format_table
    from awsdet.training.loop import train

    if world.is_chief:
        _log_idle(config, overrides)
    begun = psutil.Process().create_time()  # with the imports, and with GPU kernels compiled first
    outcome = train(config, flag_values.output, world, flag_values.resume, begun=begun)
    if outcome.metrics is not None:
        if world.is_chief:
            print(format_table(outcome.metrics), flush=True)
        if not world.elastic:
            world.barrier()  # as soon as a rank ends with code 1, horovodrun ends the others
    return outcome.exit_code


def _log_idle(config, overrides):
    for line in idle_overrides(config, overrides):
        logging.warning("%s", line)


def _check(config, overrides, flag_values):
    from awsdet.models import builder
    from awsdet.ops import library
    from awsdet.runtime import processes
    from awsdet.training import factors, optimizer
    from awsdet.training.cautions import cautions
    from awsdet.training.gpu_start import check_gpu
    from awsdet.training.inputs import prepare, with_start
    from awsdet.training.room import check_room
    from awsdet.training.settings import log_notes, with_batch_size

    logging.set_verbosity(logging.WARNING)  # the run itself logs the rest
    count = max(1, flag_values.processes)
    config = with_batch_size(config, count, flag_values.elastic)
    processes.check_gpus(flag_values.processes_per_host or count)
    inputs = prepare(config, flag_values.output, flag_values.resume, count, chief=False)
    inputs.folder.check_free()
    inputs = with_start(inputs, config, flag_values.resume, count, flag_values.elastic)
    _log_idle(config, overrides)
    log_notes(config)
    for line in cautions(
        config, inputs.train, inputs.class_names, config.data.batch_size * count * config.train.accumulate_steps
    ):
        logging.warning("%s", line)
    check_gpu(config)
    detector = builder.build(config, inputs.class_names)
    check_room(inputs.folder, detector, config)
    library.load()
    factors.report(config.optimizer, detector)
    optimizer.build_optimizer(config.optimizer, config.optimizer.learning_rate, config.model.precision)
    if config.train.init_from and inputs.start is None:
        _check_weights(detector, config.train.init_from)
    print(f"{flag_values.config}: ready for {count} process(es)")
    return 0


def _check_weights(detector, value):
    """Raises UserError if the weights do not fit, or if they are neither in the cache nor can be fetched."""
    from awsdet.runtime.files import check_folder
    from awsdet.runtime.room import check_room
    from awsdet.training.transfer import take_weights
    from awsdet.weights import download, named
    from awsdet.weights.cache import Cache

    entry = named.to_fetch(value)
    if entry is None:
        take_weights(detector, value)
        return
    cache = Cache.from_environment()
    size = download.probe(entry, cache)
    megabytes = "of unknown size" if size is None else f"{size / 1e6:.1f} MB"
    print(
        f"weights {entry.name} will be fetched from {download.address(entry, cache)}, {megabytes}, into {cache.folder}"
    )
    check_folder(cache.folder, "AWSDET_WEIGHTS")
    check_room(cache.folder, size or entry.size or 0, f"the weights {entry.name}")

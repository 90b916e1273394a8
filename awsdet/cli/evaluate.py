"""Computes the COCO metrics of a checkpoint on records, with several processes if horovodrun or mpirun starts it.

Prints the COCO table of boxes and masks, and one row per class. Every image counts exactly once, whatever the number of
processes. With --results the detections come from a file, whoever wrote it, and nothing is detected.

With --watch, --checkpoint is the folder of a run that another process trains, perhaps on another machine. Each new
checkpoint is evaluated, until the run is complete. --output is the folder that results are written to. If the command
is given again, it leaves out the checkpoints that it has evaluated already (docs/following.md).
"""

from absl import flags, logging

from awsdet.cli import watching
from awsdet.cli.arguments import define_check, define_path
from awsdet.cli.ranks import run_on_all
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet evaluate`."""
    define_path("checkpoint", None, "a checkpoint, or a run folder: its best checkpoint, or its newest", flag_values)
    define_path("results", "", "instead of a checkpoint: detections in COCO's results format", flag_values)
    define_path("records", None, "folder with the records", flag_values)
    flags.DEFINE_string(
        "split", "", "split of the records; empty: the checkpoint's eval_split, or val", flag_values=flag_values
    )
    text = (
        "JSON file to write, in COCO's results format; its folder is made if needed. With --watch: folder to write to; "
        "empty: evaluations in the folder of the run"
    )
    define_path("output", "", text, flag_values, written=True)
    flags.DEFINE_integer(
        "batch_size",
        0,
        "images per process; 0: eval_batch_size of the checkpoint",
        flag_values=flag_values,
        lower_bound=0,
    )
    text = "evaluate each checkpoint of a run as it appears, until the run is complete"
    flags.DEFINE_bool("watch", False, text, flag_values=flag_values)
    flags.DEFINE_float(
        "wait_seconds",
        3600,
        "with --watch: give up once neither a new checkpoint nor a sign of life of the run has come for so long",
        flag_values=flag_values,
        lower_bound=0,
    )
    define_check(flag_values, "evaluate")


def run(flag_values, overrides):
    """Evaluates and prints the tables. Returns the exit code."""
    del overrides
    if flag_values.results and flag_values.checkpoint:
        raise UserError(
            "--results are what a checkpoint has found, so --checkpoint does nothing; leave one of them out"
        )
    for name in ("records",) if flag_values.results else ("checkpoint", "records"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet evaluate --help)")
    if flag_values["wait_seconds"].present and not flag_values.watch:
        raise UserError("--wait-seconds does nothing without --watch; leave it out")
    if flag_values.results:
        return _of_results(flag_values)
    if flag_values.check:
        return _check(flag_values)
    if flag_values.watch:
        return watching.run(flag_values)
    return run_on_all(lambda world: _evaluate(flag_values, world))


def _evaluate(flag_values, world):
    from awsdet.evaluation import evaluate, format_table
    from awsdet.runtime.together import together

    # If a file is missing on one machine, the other ranks must not wait for that machine.
    detector, manifest, options, source = together(world, lambda: _prepare(flag_values, world.is_chief))
    logging.info("evaluating %s on the %d images of split %s", source, manifest.num_images, manifest.split)
    metrics = evaluate(detector, manifest, options, world, output=flag_values.output or None)
    if world.is_chief:
        print(format_table(metrics))
        if flag_values.output:
            print(f"\nDetections in COCO's results format: {flag_values.output}")
    return 0


def _of_results(flag_values):
    """Prints the tables of a file of detections. Returns 0."""
    for name in ("output", "batch_size", "watch", "check"):
        if flag_values[name].value:
            raise UserError(f"--{name} does nothing with --results, which nothing is detected for; leave it out")
    from awsdet.cli.evaluated import read_split
    from awsdet.data.records.read import read_ground_truth
    from awsdet.evaluation import coco_metrics, format_table
    from awsdet.evaluation.results_file import read_results
    from awsdet.runtime import gpus

    gpus.hide()  # nothing is computed on one
    manifest = read_split(flag_values.records, flag_values.split or "val")
    truth = read_ground_truth(manifest)
    numbers = {manifest.own_image_id(number): number for number in manifest.image_id.tolist()}
    results = read_results(flag_values.results, truth, numbers)
    with_masks = manifest.has_masks and any("segmentation" in one for one in results)
    logging.info(
        "scoring %d detections on the %d images of split %s", len(results), manifest.num_images, manifest.split
    )
    print(format_table(coco_metrics(truth, results, with_masks)))
    return 0


def _check(flag_values):
    from awsdet.runtime import processes

    logging.set_verbosity(logging.WARNING)  # the run itself logs the rest
    processes.check_gpus(max(1, flag_values.processes_per_host))
    if flag_values.watch:
        watching.check(flag_values)
        print(f"{flag_values.checkpoint}: ready to evaluate each of its checkpoints")
        return 0
    _, manifest, _, source = _prepare(flag_values, chief=True)
    print(f"{source}: ready to evaluate on {manifest.num_images} images")
    return 0


def _prepare(flag_values, chief):
    """What `prepare` returns. chief: whether this rank writes the file."""
    from awsdet.cli.evaluated import prepare
    from awsdet.runtime.files import check_writable

    if flag_values.output and chief:
        check_writable(flag_values.output, "output")
    return prepare(flag_values.checkpoint, flag_values.records, flag_values.split, flag_values.batch_size)

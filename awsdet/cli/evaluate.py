"""COCO metrics of a checkpoint on records, also over many processes (horovodrun … awsdet evaluate).

Prints the COCO table of boxes and masks and a row for each class. Every image counts exactly once, whatever the number
of processes.
"""

from absl import flags, logging

from awsdet.cli.ranks import run_on_all
from awsdet.runtime.errors import UserError


def define(flag_values):
    """The command's flags."""
    flags.DEFINE_string(
        "checkpoint", None, "a checkpoint, or a run folder: its best, else its newest", flag_values=flag_values
    )
    flags.DEFINE_string("records", None, "folder with the records", flag_values=flag_values)
    flags.DEFINE_string(
        "split", "", "split of the records; empty: the checkpoint's eval_split", flag_values=flag_values
    )
    flags.DEFINE_string("output", "", "COCO results JSON to write", flag_values=flag_values)
    flags.DEFINE_integer(
        "batch_size", 0, "images a process; 0: the checkpoint's eval_batch_size", flag_values=flag_values, lower_bound=0
    )


def run(flag_values, overrides):
    """Evaluates and prints the table. Returns the exit code."""
    del overrides
    for name in ("checkpoint", "records"):
        if not flag_values[name].value:
            raise UserError(f"--{name} is missing (see awsdet evaluate --help)")
    return run_on_all(lambda world: _evaluate(flag_values, world))


def _evaluate(flag_values, world):
    from awsdet.evaluation import evaluate, format_table
    from awsdet.runtime.together import together

    # A file that one machine lacks must not leave the others waiting for it.
    detector, manifest, data, source = together(world, lambda: _prepare(flag_values))
    logging.info("evaluating %s on %d images", source, manifest.num_images)
    metrics = evaluate(detector, manifest, data, world, output=flag_values.output or None)
    if world.is_chief:
        print(format_table(metrics))
        if flag_values.output:
            print(f"\nDetections in COCO's results format: {flag_values.output}")
    return 0


def _prepare(flag_values):
    """(detector, manifest, data section of the config, words for the checkpoint)."""
    from awsdet.data.records.read import read_manifest
    from awsdet.evaluation import check_classes
    from awsdet.train.checkpoint import load_for_inference

    detector, info = load_for_inference(flag_values.checkpoint)
    data = info["config"].data
    manifest = read_manifest(flag_values.records, flag_values.split or data.eval_split)
    check_classes(detector.class_names, manifest)
    data.eval_batch_size = flag_values.batch_size or data.eval_batch_size
    return detector, manifest, data, f"{info['path']} (step {info['step']})"

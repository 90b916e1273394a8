"""Times `fit` as `awsdet train` runs it beside the bare loop over the same compiled step, in turns in one process.

    python benchmarks/fit.py [--model M] [--dtype D] [--size 256] [--batch 2] [--load L] [--steps N] [--json FILE]

`shapes`: the small model of `make train`, whose step is short; `r50`: Mask R-CNN R50-FPN, few steps. Both on generated
records, with the logs and checkpoints of their configs; an epoch has `--steps` (125 and 50), at its end a checkpoint.
The default is float32 and fresh weights, in which a step is shortest and what surrounds it counts most. There is no
other system beside it. CPU is the time of all threads for whole steps, and of the thread that runs the loop for the
parts around them. The last line ends in our images a second, of the larger model.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

CALLBACKS = {"Log": "logs", "Checkpointing": "checkpoints begun", "StopTogether": "asking whether to stop"}
COCO_TRAIN, COCO_VAL = 118287, 5000  # images
STEP_MS, EPOCH, LOG_EVERY = 100, COCO_TRAIN // 16, 50  # of a GPU, with 16 images a step, and of the config


def main(flags):
    figures = {}
    for model in [flags.model] if flags.model else ["shapes", "r50"]:
        given = [f"--{name}={getattr(flags, name)}" for name in ("size", "batch", "steps") if getattr(flags, name)]
        given += [f"--dtype={flags.dtype or 'float32'}", f"--load={flags.load or 'fresh'}"]
        figures[model] = measure.run(["benchmarks/systems/awsdet_fit.py", f"--model={model}", *given])
        report(model, figures[model])
    measure.write_json(flags.json, figures)
    last = figures[model]
    print(f"{model} img/s {last['batch'] / last['wall']['fit'] * 1e3:.3f}")


def report(model, figure):
    """Prints the figures of one model; see `benchmarks/systems/awsdet_fit.py`."""
    wall, cpu = figure["wall"], figure["cpu"]
    print(f"\n{model}: {figure['steps_per_epoch']} steps an epoch, a line of the log each {figure['log_every']}")
    rows = [[name, f"{ms:.2f}", used, f"{ms / wall['bare']:.2%}"] for name, ms, used in parts(figure)]
    measure.table(rows, ["part", "ms a step", "CPU ms", "of the bare step"])
    slower, used = wall["fit"] / wall["bare"] - 1, cpu["fit"] / cpu["bare"] - 1
    print(f"fit takes {slower:+.1%} of the bare loop's time, {used:+.1%} of its CPU")
    size, mean, most = figure["checkpoint_bytes"] / 1e6, figure["save_ms"], figure["longest_save_ms"]
    print(f"a checkpoint of {size:.0f} MB holds the steps up for {mean:.0f} ms on average, {most:.0f} ms at most")
    print(f"a line of the log holds them up for {figure['line_ms']:.1f} ms")
    image = wall["fit"] / figure["batch"]
    share = figure["evaluation_ms"] * COCO_VAL / (image * COCO_TRAIN)
    print(f"evaluation, apart: {figure['evaluation_ms']:.0f} ms an image, training {image:.0f} ms an image;")
    print(f"COCO's {COCO_VAL} images after each epoch of {COCO_TRAIN}: {share:.1%} of the training")
    each = rest(figure) + wall["StopTogether"] + figure["line_ms"] / LOG_EVERY
    for every in (EPOCH, 500):
        share = (each + figure["save_ms"] / every) / STEP_MS
        print(f"a line each {LOG_EVERY} and a checkpoint each {every} steps: {share:.2%} of a step of {STEP_MS} ms")
    print(f"traces of the step: {figure['traces']}", flush=True)


def parts(figure):
    """(words, ms a step, ms of CPU as text) of each part."""
    wall, cpu, thread = figure["wall"], figure["cpu"], figure["thread"]
    around = thread["fit"] - thread["step"]
    yield "bare loop, a step", wall["bare"], f"{cpu['bare']:.2f}"
    yield "fit, a step", wall["fit"], f"{cpu['fit']:.2f}"
    yield "  the compiled step in it", wall["step"], f"{cpu['step']:.2f}"
    yield "  around it, of which:", wall["fit"] - wall["step"], f"{around:.2f}"
    for name, words in CALLBACKS.items():
        yield f"    {words}", wall[name], f"{thread[name]:.2f}"
    others = around - sum(thread[name] for name in CALLBACKS)
    yield "    waiting for the reader", figure["data"], ""
    yield "    Keras' loop and the rest", rest(figure), f"{others:.2f} with the reader's"


def rest(figure):
    """Ms a step that belong to nothing else."""
    wall = figure["wall"]
    return wall["fit"] - wall["step"] - figure["data"] - sum(wall[name] for name in CALLBACKS)


if __name__ == "__main__":
    parser = measure.parser(__doc__, sizes="128 and 256", batches="8 and 2")
    parser.add_argument("--model", choices=("shapes", "r50"), help="one instead of both")
    parser.add_argument("--steps", type=int, help="an epoch")
    main(parser.parse_args())

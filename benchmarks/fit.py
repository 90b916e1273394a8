"""Times `fit` as `awsdet train` runs it, beside a bare loop over the same compiled step, in turns in one process.

    python benchmarks/fit.py [--model M] [--dtype D] [--size 256] [--batch 2] [--load L] [--steps N] [--json FILE]
    python benchmarks/fit.py --evaluations [--val 400] [--cycles 2] [--model M] [--steps N] [--json FILE]

The models are `shapes`, the small model of `make train` with a short step, and `r50`, Mask R-CNN R50-FPN with few
steps. Both train on generated records, with the logs and checkpoints of their configs. An epoch has `--steps` steps
(125 and 50) and ends with a checkpoint. The defaults, float32 and fresh weights, make the step shortest, so that what
surrounds it counts most. No other system is measured. For whole steps, CPU is the time of all threads; for the parts
around them it is that of the thread that runs the loop. The last line ends with our images per second for the larger
model.

With --evaluations it shows instead what an evaluation of `--val` images costs the small model's training, if training
waits for the score, and if another process scores, in turns within one run.
"""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

CALLBACKS = {"Log": "logs", "Saving": "checkpoints begun", "StopTogether": "asking whether to stop"}
COCO_TRAIN, COCO_VAL = 118287, 5000  # images
# A step of 16 images on a GPU is assumed to take 100 ms; the log interval is the configs' default.
STEP_MS, EPOCH, LOG_EVERY = 100, COCO_TRAIN // 16, 50


def main(flags):
    if flags.evaluations:
        measure.write_json(flags.json, evaluations(flags))
        return
    figures = {}
    for model in [flags.model] if flags.model else ["shapes", "r50"]:
        given = [f"--{name}={getattr(flags, name)}" for name in ("size", "batch", "steps") if getattr(flags, name)]
        given += [f"--dtype={flags.dtype or 'float32'}", f"--load={flags.load or 'fresh'}"]
        figures[model] = measure.run(["benchmarks/systems/awsdet_fit.py", f"--model={model}", *given])
        report(model, figures[model])
    measure.write_json(flags.json, figures)
    last = figures[model]
    print(f"{model} img/s {last['batch'] / last['wall']['fit'] * 1e3:.3f}")


def evaluations(flags):
    """Measures and prints what an evaluation costs; see `benchmarks/systems/awsdet_evaluations.py`. Returns it."""
    given = [f"--{name}={getattr(flags, name)}" for name in ("size", "batch", "steps") if getattr(flags, name)]
    given += [f"--model={flags.model or 'shapes'}", f"--dtype={flags.dtype or 'float32'}"]
    given += [f"--val={flags.val}", f"--cycles={flags.cycles}"]
    figure = measure.run(["benchmarks/systems/awsdet_evaluations.py", *given])
    # A detector that learns finds more, and so detection takes longer later: each period is compared without its own.
    wall, cpu, detection = (
        {mode: statistics.median(period[i] for period in periods) for mode, periods in figure["periods"].items()}
        for i in range(3)
    )
    other = {
        mode: statistics.median(period[0] - period[2] for period in periods)
        for mode, periods in figure["periods"].items()
    }
    names = {"none": "no evaluation", "waits": "training waits for the score", "aside": "another process scores"}
    rows = [
        [names[mode], *(f"{one[mode]:.2f}" for one in (wall, cpu, detection)), f"{other[mode] - other['none']:.2f}"]
        for mode in names
    ]
    measure.table(rows, ["an epoch, and an evaluation", "s", "CPU s", "s of detection", "s more, without detection"])
    scoring = statistics.median(figure["parts"]["score_on_chief"])
    print(
        f"{figure['images']} images after {figure['steps_per_epoch']} steps; "
        f"scoring, if training waits: {scoring:.2f} s"
    )
    return figure


def report(model, figure):
    """Prints the figures of one model; see `benchmarks/systems/awsdet_fit.py`."""
    wall, cpu = figure["wall"], figure["cpu"]
    print(f"\n{model}: {figure['steps_per_epoch']} steps per epoch, a log line every {figure['log_every']}")
    rows = [[name, f"{ms:.2f}", used, f"{ms / wall['bare']:.2%}"] for name, ms, used in parts(figure)]
    measure.table(rows, ["part", "ms per step", "CPU ms", "of the bare step"])
    slower, used = wall["fit"] / wall["bare"] - 1, cpu["fit"] / cpu["bare"] - 1
    print(f"fit takes {slower:+.1%} of the bare loop's time, {used:+.1%} of its CPU")
    size, mean, most = figure["checkpoint_bytes"] / 1e6, figure["save_ms"], figure["longest_save_ms"]
    print(f"a checkpoint of {size:.0f} MB holds the steps up for {mean:.0f} ms on average, {most:.0f} ms at most")
    print(f"a log line holds them up for {figure['line_ms']:.1f} ms")
    image = wall["fit"] / figure["batch"]
    share = figure["evaluation_ms"] * COCO_VAL / (image * COCO_TRAIN)
    print(f"evaluation, apart: {figure['evaluation_ms']:.0f} ms per image, training {image:.0f} ms per image;")
    print(f"COCO's {COCO_VAL} images after each epoch of {COCO_TRAIN}: {share:.1%} of the training")
    each = rest(figure) + wall["StopTogether"] + figure["line_ms"] / LOG_EVERY
    for every in (EPOCH, 500):
        share = (each + figure["save_ms"] / every) / STEP_MS
        print(f"log every {LOG_EVERY}, checkpoint every {every} steps: {share:.2%} of a step of {STEP_MS} ms")
    print(f"traces of the step: {figure['traces']}", flush=True)


def parts(figure):
    """Yields (description, ms per step, ms of CPU as text) of each part."""
    wall, cpu, thread = figure["wall"], figure["cpu"], figure["thread"]
    around = thread["fit"] - thread["step"]
    yield "bare loop, per step", wall["bare"], f"{cpu['bare']:.2f}"
    yield "fit, per step", wall["fit"], f"{cpu['fit']:.2f}"
    yield "  the compiled step in it", wall["step"], f"{cpu['step']:.2f}"
    yield "  around it, of which:", wall["fit"] - wall["step"], f"{around:.2f}"
    for name, words in CALLBACKS.items():
        yield f"    {words}", wall[name], f"{thread[name]:.2f}"
    others = around - sum(thread[name] for name in CALLBACKS)
    yield "    waiting for the reader", figure["data"], ""
    yield "    Keras' loop and the rest", rest(figure), f"{others:.2f} with the reader's"


def rest(figure):
    """Ms per step that belong to no other part."""
    wall = figure["wall"]
    return wall["fit"] - wall["step"] - figure["data"] - sum(wall[name] for name in CALLBACKS)


if __name__ == "__main__":
    parser = measure.parser(__doc__, sizes="128 and 256", batches="8 and 2")
    parser.add_argument("--model", choices=("shapes", "r50"), help="only this one, not both")
    parser.add_argument("--steps", type=int, help="steps per epoch")
    parser.add_argument("--evaluations", action="store_true", help="what an evaluation costs training")
    parser.add_argument("--val", type=int, default=400, help="images of such an evaluation")
    parser.add_argument("--cycles", type=int, default=2, help="how often each way is measured")
    main(parser.parse_args())

"""The tables of the learning benchmark in Markdown, and their place in docs/learning.md."""

import statistics

from benchmarks.learn import curves

BEGIN, END = MARKS = "<!-- figures: begin -->", "<!-- figures: end -->"
AIMS = {"images per second": 2.5, "memory": 0.4}


def tables(systems, thresholds):
    """Markdown. `systems`: name -> list of Run, one per seed; the first is ours. `thresholds`: box APs."""
    header = ["system", "box AP", "mask AP", "img/s", "peak MB", "CPU s per image"]
    header += [f"s (CPU s) to box AP {threshold:g}" for threshold in thresholds]
    rows = [[name, *_cells(runs, thresholds)] for name, runs in systems.items()]
    parts = [table(header, rows)]
    parts.append(f"AP is the mean of {_count(systems)} at the last evaluation, and ± half of its spread over them.")
    return "\n\n".join(parts)


def _count(systems):
    counts = sorted({len(runs) for runs in systems.values()})
    return f"{' or '.join(map(str, counts))} seed{'s' if counts[-1] > 1 else ''}"


def _cells(runs, thresholds):
    cells = ["{:.3f} ± {:.3f}".format(*_halved(curves.final(runs, name))) for name in ("box_ap", "mask_ap")]
    cells.append(f"{rate(runs):.1f}")
    cells.append(f"{memory(runs):.0f}")
    cells.append(f"{statistics.median(run.cpu / (run.batch * len(run.steps)) for run in runs):.3f}")
    return cells + [_reached(runs, threshold) for threshold in thresholds]


def _halved(pair):
    return pair[0], pair[1] / 2


def rate(runs):
    """Images per second: the median of the seeds."""
    return statistics.median(curves.images_per_second(run) for run in runs)


def memory(runs):
    """Peak memory of all processes of a run together, in 10^6 bytes: the median of the seeds."""
    return statistics.median(sum(run.memory) for run in runs)


def _reached(runs, threshold):
    times = [curves.time_to(run, "box_ap", threshold) for run in runs]
    reached = [time for time in times if time]
    if not reached:
        return "not reached"
    seconds, cpu = (statistics.median(part) for part in zip(*reached))
    missing = "" if len(reached) == len(times) else f", {len(reached)} of {len(times)} seeds"
    return f"{seconds:.0f} ({cpu:.0f}){missing}"


def verdicts(ours, theirs):
    """The aims and whether they were met: a Markdown list. `theirs`: runs with unshifted mask targets."""
    speed, room = rate(ours) / rate(theirs), memory(ours) / memory(theirs)
    least, most = AIMS["images per second"], AIMS["memory"]
    lines = [
        _verdict(f"{speed:.2f} x torchvision's images per second", f"at least {least}", speed >= least),
        _verdict(f"{room:.2f} x its memory", f"at most {most}", room <= most),
    ]
    for name in ("box_ap", "mask_ap"):
        (mine, own), (other, spread) = curves.final(ours, name), curves.final(theirs, name)
        allowed = max(own, spread)
        text = f"{name.replace('_ap', ' AP')} {mine - other:+.3f} against torchvision with unshifted targets"
        aim = f"not below by more than the spread over seeds, {allowed:.3f}"
        lines.append(_verdict(text, aim, mine >= other - allowed))
    return "\n".join(lines)


def _verdict(text, aim, met):
    return f"- {text} (aim: {aim}): {'met' if met else 'missed'}"


def variants_table(base, variants):
    """Markdown. `base`: the Run that all variants are compared with, of the same seed; `variants`: name -> Run."""
    header = ["variant", "box AP", "mask AP", "largest difference of the smoothed loss", "img/s"]
    rows = []
    for name, run in {"float32": base, **variants}.items():
        aps = [f"{run.scores[-1][key]:.3f}" for key in ("box_ap", "mask_ap")]
        same = len(run.steps) == len(base.steps)
        difference = f"{curves.largest_difference(base, run):.2%}" if same else "other steps"
        rows.append([name, *aps, difference, f"{curves.images_per_second(run):.1f}"])
    return table(header, rows)


def table(header, rows):
    """A table in Markdown. rows: lists of cells, each as long as `header`."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def same_table(found):
    """Markdown of what learn_same_torch.py printed."""
    rows = [[name, f"{value:.1e}"] for name, value in found["differences"].items()]
    shares = found["mask_targets"]
    return "\n\n".join(
        [
            table(["quantity", "largest difference / largest value"], rows),
            f"Pixels of mask targets on another side of 1/2 than ours: {shares['own']:.1%} with torchvision's own, "
            f"{shares['unshifted']:.1%} with unshifted ones.",
        ]
    )


def put_into(text, figures, name="docs/learning.md", marks=MARKS):
    """The text of a page, `name`, with `figures` between its marks. Raises ValueError if they are missing."""
    first, last = marks
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{name} lacks the marks {first} and {last}")
    return f"{before}{first}\n\n{figures}\n\n{last}{after}"

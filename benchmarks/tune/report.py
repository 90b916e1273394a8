"""What is chosen, and the tables of benchmarks/finetune.py in Markdown."""

import statistics

from benchmarks.learn.report import table
from benchmarks.tune.candidates import NOW


def mean(scores, name="ap"):
    """The mean over the seeds. scores: list of Scores."""
    return statistics.fmean(getattr(one, name) for one in scores)


def spread(scores, name="ap"):
    """Highest minus lowest of the seeds."""
    values = [getattr(one, name) for one in scores]
    return max(values) - min(values)


def gain(now, other):
    """How much higher the mean AP of `other` is than that of `now`, both lists of Scores."""
    return mean(other) - mean(now)


def is_better(now, other):
    """Whether it is higher by more than the spread over seeds of either."""
    return gain(now, other) > max(spread(now), spread(other))


def contenders(scores):
    """Names of the candidates that are better than the recipe as it is, the best first. scores: name -> Scores."""
    better = [name for name in scores if name != NOW and is_better(scores[NOW], scores[name])]
    return sorted(better, key=lambda name: -gain(scores[NOW], scores[name]))


def chosen(val):
    """The name of what val says is best: the first contender of the first data set that is one on all of them.

    val: data set -> name -> list of Scores. It is the recipe as it is if there is none.
    """
    first, *others = val.values()
    for name in contenders(first):
        if all(name in scores and is_better(scores[NOW], scores[name]) for scores in others):
            return name
    return NOW


def val_table(data, scores):
    """Markdown of all candidates on the val split of a data set."""
    rows = []
    for name, of_name in scores.items():
        compared = ["", ""] if name == NOW else _compared(scores[NOW], of_name)
        rows.append([name, _figure(of_name, "box_ap"), _figure(of_name, "mask_ap"), *compared])
    return table([f"{data}, val", "box AP", "mask AP", "mean of both, against now", "beyond the spread"], rows)


def _compared(now, other):
    verdict = "better" if is_better(now, other) else "worse" if is_better(other, now) else "no"
    return [f"{gain(now, other):+.3f}", verdict]


def _figure(scores, name):
    if any(one.diverged for one in scores):
        return "diverged"
    return f"{mean(scores, name):.3f} ± {spread(scores, name) / 2:.3f}"


def test_table(test):
    """Markdown of what was looked at on the test splits. test: data set -> name -> list of Scores."""
    rows = [
        [data, name, _figure(scores, "box_ap"), _figure(scores, "mask_ap")]
        for data, of_data in test.items()
        for name, scores in of_data.items()
    ]
    return table(["test split of", "recipe", "box AP", "mask AP"], rows)

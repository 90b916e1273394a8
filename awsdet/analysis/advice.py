"""What to do first, in plain words that come from figures alone."""

from awsdet.analysis.precision import ABSENT
from awsdet.analysis.tide import KINDS

_LITTLE = 0.005  # of AP; a kind that costs less is not spoken of
_SIZE_WORDS = {"small": "small (under 32 x 32 px)", "medium": "of medium size", "large": "large (over 96 x 96 px)"}
_OFTEN = 0.1  # of all confusions; pairs of classes that make less are not named
_WHAT = {
    "Cls": "giving the right class to detections that are in the right place",
    "Loc": "placing detections of the right class more exactly",
    "Both": "removing detections with the wrong class that are not well placed either",
    "Dupe": "removing second detections of objects that are found already",
    "Bkg": "removing detections where there is no object",
    "Miss": "finding objects that are missed altogether",
}
_SIZE_SETTINGS = "data.short_sides, data.eval_short_side, data.max_long_side"
_CURES = {
    "Loc": f"Longer training, larger images ({_SIZE_SETTINGS}) or Cascade R-CNN place objects more exactly.",
    "Both": "Longer training is the first thing to try.",
    "Dupe": "A lower model.nms_iou removes more of them.",
    "Bkg": "Look at the suspects below: if they show objects, the annotations lack these.",
}


def first_words(kind, labels) -> list:
    """Sentences about a report.Kind: how much is lost, the error kinds that cost most, and what may help."""
    tide = kind.tide
    if tide.ap <= ABSENT:
        return ["There are no objects in this split, so there is no AP, and nothing can be said of lost points."]
    if not len(kind.pairs.scores):
        return [f"Nothing was detected at all; every object is missed ({int((~kind.pairs.crowd).sum()):,})."]
    lost = 1 - tide.ap
    text = [f"AP at IoU 0.5 is {_points(tide.ap)}; {_points(lost)} of 100 points are lost."]
    order = sorted(KINDS, key=lambda name: -tide.gains[name])
    if tide.gains[order[0]] < _LITTLE:
        if lost < _LITTLE:
            return text
        return [*text, "No single kind of error costs as much as half a point."]
    for place, name in enumerate(order[:2]):
        if place and tide.gains[name] < max(_LITTLE, tide.gains[order[0]] / 2):
            break
        start = "Most would be won back by" if not place else "Next comes"
        text.append(
            f"{start} {_WHAT[name]}: {_points(tide.gains[name])} points ({tide.counts[name]:,} of them)."
            f"{_more(name, kind, labels)}"
        )
    text.append(
        f"All false positives together cost {_points(tide.gains['FP'])} points, all objects that are not found "
        f"{_points(tide.gains['FN'])}."
    )
    return text


def _points(share):
    return f"{100 * share:.1f}"


def _more(name, kind, labels):
    if name == "Miss":
        return _about_missed(kind.tide)
    if name == "Cls":
        return _about_classes(kind, labels)
    return f" {_CURES[name]}"


def _about_missed(tide):
    size = max(tide.missed_gains, key=tide.missed_gains.get)
    gain = tide.missed_gains[size]
    most = f" Those that are {_SIZE_WORDS[size]} make {_points(gain)} of these points." if gain >= _LITTLE else ""
    if size == "small" and gain >= tide.gains["Miss"] / 2:
        return (
            f"{most} Larger images ({_SIZE_SETTINGS}) and smaller anchors help; "
            "awsdet inspect --draw shows the objects that no anchor fits."
        )
    return f"{most} Look at those that were never found, below: are they annotated as the others are?"


def _about_classes(kind, labels):
    swaps = kind.confusion.swaps()
    if not swaps:
        return " None of them has a score that is high enough for the confusion matrix."
    total = sum(count for _, _, count in swaps)
    swaps = [swap for swap in swaps[:3] if swap[2] >= _OFTEN * total]
    if not swaps:
        return " They are spread over many pairs of classes."
    listed = ", ".join(f"{labels[true]} taken for {labels[found]} ({count:,})" for true, found, count in swaps)
    return f" The most frequent at a score of {kind.score:.2f}: {listed}. Are these labelled alike everywhere?"

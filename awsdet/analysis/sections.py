"""The sections of the report's page about boxes, or about masks, as HTML."""

import numpy as np
from PIL import ImageColor

from awsdet.analysis import charts
from awsdet.analysis.advice import first_words
from awsdet.analysis.breakdown import CURVES, areas, over_all
from awsdet.analysis.figure import inline_svg
from awsdet.analysis.precision import ABSENT
from awsdet.analysis.tide import KINDS, SPECIAL
from awsdet.survey import page

MOST_CURVES = 100  # classes whose curves are drawn
_LISTED = 30  # lines of a list of confusions
_WHAT = {
    "Cls": "overlaps an object of another class by IoU 0.5 or more",
    "Loc": "overlaps an object of its class by IoU 0.1 to 0.5",
    "Both": "wrong class, and not well placed either",
    "Dupe": "a better detection has the object already",
    "Bkg": "overlaps no object by more than IoU 0.1",
    "Miss": "an object that no detection stands for, not even a badly placed one or one with the wrong class",
    "FP": "all false positives together",
    "FN": "all objects that are not found, together",
}
_AREAS = (
    "From the inside: precision at IoU 0.75 (C75) and 0.50 (C50); then without errors of place (Loc), without "
    "confusion with classes of the same supercategory (Sim) and with others (Oth), without any false positives (BG). "
    "What remains up to 1 are objects that are not found (FN)."
)


def summary(report) -> str:
    """The first paragraph: what to do first, for boxes and for masks."""
    parts = []
    for kind in report.kinds:
        lines = "".join(f"<p>{page.text(line)}</p>" for line in first_words(kind, report.labels))
        parts.append(f"<h3>{NAMES[kind.name]}</h3>{lines}" if len(report.kinds) > 1 else lines)
    return page.note("".join(parts))


NAMES = {"box": "Boxes", "mask": "Masks"}


def losses(kind) -> str:
    """What each kind of error costs."""
    tide = kind.tide
    rows = [
        [
            page.swatch(ImageColor.getrgb(charts.KIND_COLORS[name])) + name,
            f"{100 * tide.gains[name]:.1f}",
            f"{tide.counts[name]:,}",
            page.text(_WHAT[name]),
        ]
        for name in (*KINDS, *SPECIAL)
    ]
    base = "no AP, as there are no objects" if tide.ap <= ABSENT else f"AP at IoU 0.5: {100 * tide.ap:.1f}"
    return (
        f'<p class="soft">Kinds of TIDE, and how many points AP would gain without each. {base}. The points do not add '
        "up to what is lost.</p>"
        f'<div class="charts"><figure>{inline_svg(charts.tide_bars(tide))}</figure></div>'
        + page.table(["kind", "#points", "#errors", "what it is"], rows, scroll=False)
    )


def precision(kind, report) -> str:
    """Precision over recall, of all classes together and of each one."""
    if not (kind.curves[0, :, 0] > ABSENT).any():
        return "<p>No class has objects.</p>"
    overall = inline_svg(charts.area_curves(over_all(kind.curves), "mean of all classes with objects"))
    known = "" if any(report.supercategories) else " No supercategories are known, so Sim equals Loc."
    sizes = areas(kind.curves)
    lost = 1 - sizes[CURVES.index("C50")]
    objects = np.bincount(kind.pairs.truth.classes[~kind.pairs.crowd], minlength=len(report.labels))
    there = np.flatnonzero(objects)
    order = there[np.argsort(-lost[there], kind="stable")]
    figures = "".join(
        f"<figure>{inline_svg(charts.area_curves(kind.curves[:, k], report.labels[k], small=True))}</figure>"
        for k in order[:MOST_CURVES].tolist()
    )
    more = f" the {MOST_CURVES} worst of {len(order)}" if len(order) > MOST_CURVES else ""
    rows = [
        [page.name(report.labels[k]), f"{objects[k]:,}", *(f"{value:.3f}" for value in sizes[:-1, k])]
        for k in order.tolist()
    ]
    return (
        f'<p class="soft">{page.text(_AREAS + known)}</p><div class="charts"><figure>{overall}</figure></div>'
        + page.table(["class", "#objects", *(f"#{name}" for name in CURVES[:-1])], rows)
        + f'<details><summary>Curves of each class, the worst first{more}</summary><div class="small">{figures}</div>'
        "</details>"
    )


def classes(kind, report) -> str:
    """AP of each class, the best first."""
    rows = []
    seen = {name: row for name, row in report.metrics["per_class"].items() if row["objects"]}
    position = {name: k for k, name in enumerate(report.labels)}
    at = areas(kind.curves)
    for name, row in sorted(seen.items(), key=lambda item: -item[1][f"{kind.name}_ap"]):
        ap, k = max(row[f"{kind.name}_ap"], 0.0), position[name]
        rows.append(
            [page.name(name), f"{row['objects']:,}", f"{ap:.3f}", f"{at[1, k]:.3f}", f"{at[0, k]:.3f}", page.bar(ap)]
        )
    absent = len(report.labels) - len(seen)
    more = f"<p>Classes without objects in this split, which have no AP: {absent:,}.</p>" if absent else ""
    return page.table(["class", "#objects", "#AP", "#AP50", "#AP75", ""], rows) + more


def parts(kind) -> str:
    """Objects by size, images by crowding."""
    sizes = [
        [row.name, f"{row.objects:,}", *(page.meter(v, f"{100 * v:.1f} %") for v in (row.found, row.found_surely))]
        for row in kind.by_size
    ]
    crowding = [
        [
            row.name,
            f"{row.images:,}",
            f"{row.objects:,}",
            "-" if row.ap50 <= ABSENT else f"{row.ap50:.3f}",
            f"{row.false_per_image:.2f}",
        ]
        for row in kind.by_crowding
    ]
    at = f"score {kind.score:.2f}"
    header = ["root of the area", "#objects", "found at IoU 0.5, any score", f"found at IoU 0.5, {at} or more"]
    return (
        "<h3>Objects by size</h3>"
        + page.table(header, sizes, scroll=False)
        + "<h3>Images by number of objects</h3>"
        + page.table(
            ["objects in the image", "#images", "#objects", "#AP50", f"#false positives per image, {at} or more"],
            crowding,
            scroll=False,
        )
    )


def confusions(kind, report) -> str:
    """The confusion matrix, and the pairs of classes that are confused most often."""
    found = kind.confusion
    figure, left_out = charts.confusion_map(found, report.labels)
    swaps = found.swaps()
    rows = [
        [page.name(report.labels[true]), page.name(report.labels[detected]), f"{count:,}"]
        for true, detected, count in swaps[:_LISTED]
    ]
    more = f" The {left_out:,} classes that are confused least are left out here." if left_out else ""
    more += f" The {_LISTED} most frequent of {len(swaps):,} pairs are listed." if len(swaps) > _LISTED else ""
    text = (
        f"Detections with a score of {found.score:.2f} or more, matched at IoU {found.iou:g} whatever their class, the "
        f"best first. The colour is the share of its row.{more}"
    )
    listed = (
        page.table(["true class", "detected as", "#times"], rows) if rows else "<p>No class is taken for another.</p>"
    )
    return f'<p class="soft">{page.text(text)}</p>{_figure(figure)}{listed}'


def scores(kind) -> str:
    """The calibration, and the score with the best F1."""
    text = "No detection is right at IoU 0.5, so no score is the best."
    if kind.best:
        best = kind.best
        text = (
            f"F1 of all classes together is best for scores of {best.score:.2f} or more: precision "
            f"{best.precision:.3f}, recall {best.recall:.3f}, F1 {best.f1:.3f}."
        )
    found = kind.calibration
    if found is None:
        return f"<p>{text}</p><p>Some scores lie outside of 0 to 1, so they cannot be probabilities.</p>"
    mean = f"ECE {found.ece:.3f}: the mean distance of scores from the share that is right; MCE {found.mce:.3f}."
    return (
        f'<p>{text}</p><p>{mean}</p><p class="soft">Bars: the share of the detections with these scores that is right '
        "at IoU 0.5; pale if there are few. Dashed: scores that mean what they say.</p>"
        + _figure(charts.reliability(found))
    )


def _figure(figure):
    """A chart in a field that is as wide as it."""
    return f'<figure class="matrix" style="max-width:{figure.width + 28:g}px">{inline_svg(figure)}</figure>'

"""The histograms of a split, as HTML figures."""

import numpy as np

from awsdet.data.records.inspection import class_counts
from awsdet.inference.drawing import class_color
from awsdet.survey import charts, page
from awsdet.survey.builder import AnchorRules
from awsdet.survey.recall import LEVELS, Cover

_COCO_SIDES = (32, 96)  # px, root of the area; between COCO's small, medium and large
_COCO_NAMES = ((12, "small"), (55.4, "medium"), (250, "large"))  # and where these words stand
_PER_IMAGE = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200)  # least number of annotations in each bar


def class_table(inspection) -> str:
    """All classes with their numbers of annotations, the most frequent first."""
    names, ids = inspection.manifest.class_names, inspection.manifest.category_ids
    counts = class_counts(inspection.manifest, inspection.contents)
    total, high = max(int(counts.sum()), 1), max(int(counts.max(initial=0)), 1)
    rows = [
        [
            page.swatch(class_color(index)) + page.name(names[index]),
            page.text(ids[index]),
            str(index),
            f"{counts[index]:,}",
            f"{100 * counts[index] / total:.1f} %",
            page.bar(counts[index] / high),
        ]
        for index in np.argsort(-counts, kind="stable").tolist()
    ]
    return page.table(["class", "#category id", "#class", "#annotations", "#share", ""], rows)


def figures(inspection, rules: AnchorRules, cover: Cover) -> str:
    """The other histograms: sizes and shapes of objects, objects per image, image sizes, where objects lie."""
    manifest, contents = inspection.manifest, inspection.contents
    rows = inspection.images.row
    counts = np.bincount(contents.row.astype(int), minlength=manifest.num_images)[rows]
    chosen = cover.position
    box = contents.box[chosen]
    image = contents.row[chosen].astype(int)
    centre = (box[:, :2] + box[:, 2:]) / 2 / np.stack([manifest.width[image], manifest.height[image]], axis=1)
    parts = [
        ("Sizes of objects", f"Root of the area in px, at {rules.size_text}.", _sizes(cover.side)),
        ("Shapes of objects", "Dashed: the anchors' shapes.", _shapes(cover.aspect, rules.anchors.ratios)),
        ("Annotations per image", "Crowds and objects for evaluation only included.", _per_image(counts)),
        (
            "Sizes of images",
            "As stored.",
            charts.scatter(manifest.width[rows], manifest.height[rows], "width, px", "height, px", "images"),
        ),
        ("Best anchor", f"IoU of each object with it. Dashed: {_levels()}.", _best(cover.best)),
        ("Where objects lie", "Centres, as shares of their images.", charts.centre_map(*centre.T, "objects")),
    ]
    return "".join(
        f'<figure><b>{page.text(title)}</b><span class="soft">{page.text(text)}</span>{chart}</figure>'
        for title, text, chart in parts
    )


def _sizes(sides):
    counts, names, position = charts.log_bins(sides, 1, 2048, 2)
    ticks = [(position(value), f"{value}") for value in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)]
    marks, regions = [position(value) for value in _COCO_SIDES], [(position(v), name) for v, name in _COCO_NAMES]
    return charts.bars(counts, [f"{name} px" for name in names], ticks, "px", "objects", marks, regions)


def _shapes(aspects, ratios):
    counts, names, position = charts.log_bins(aspects, 1 / 16, 16, 4)
    ticks = [(position(2.0**power), f"1:{2**-power}" if power < 0 else f"{2**power}:1") for power in range(-4, 5)]
    marks = [position(min(max(1 / ratio, 1 / 16), 16)) for ratio in ratios]  # of anchors: height / width
    return charts.bars(counts, [f"width / height {name}" for name in names], ticks, "width : height", "objects", marks)


def _levels():
    return ", ".join(map(str, sorted(LEVELS)))


def _best(best):
    bins = 20
    counts = np.bincount(np.minimum((best * bins).astype(int), bins - 1), minlength=bins)
    names = [f"IoU {i / bins:.2f} to {(i + 1) / bins:.2f}" for i in range(bins)]
    ticks = [(i * bins / 10, f"{i / 10:g}") for i in range(11)]
    return charts.bars(counts, names, ticks, "IoU", "objects", [level * bins for level in LEVELS])


def _per_image(counts):
    edges = np.array(_PER_IMAGE)
    bins = np.bincount(np.searchsorted(edges, counts, side="right") - 1, minlength=len(edges))
    used = int(np.flatnonzero(bins).max(initial=0)) + 1
    labels = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in zip(_PER_IMAGE, _PER_IMAGE[1:])]
    labels.append(f"{_PER_IMAGE[-1]}+")
    ticks = [(index + 0.5, label) for index, label in enumerate(labels[:used])]
    return charts.bars(bins[:used], labels, ticks, "annotations", "images")

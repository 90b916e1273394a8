"""The page of one split: key figures, pictures, histograms, anchors' recall, duplicates."""

import pathlib
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.categories import class_labels
from awsdet.data.records import duplicates
from awsdet.data.records.inspection import Inspection, percent, repeated
from awsdet.runtime.errors import UserError
from awsdet.survey import choice, histograms, oddities, page, pictures, recall
from awsdet.survey.builder import AnchorRules, Training
from awsdet.survey.first_batches import first_images

GROUPS, PER_GROUP = 12, 4  # groups of duplicates that are shown, and images of each
_THUMB = 480  # px, long side
_MOST_KINDS = 8  # classes named below a picture


class Studied(NamedTuple):
    """A split, and what the pages say of it.

    Attributes:
      inspection: Inspection.
      cover: recall.Cover.
      advice: what it means and what would help, sentences.
      alike: groups of images that look alike, int arrays of positions in `inspection.images`.
      repeated: pairs of objects that are annotated twice, int [pairs, 2], positions in the contents.
    """

    inspection: Inspection
    cover: recall.Cover
    advice: list
    alike: list
    repeated: np.ndarray


def study(inspection, rules: AnchorRules) -> Studied:
    """The Studied of an inspection that looked at the images."""
    alike = duplicates.similar_images(inspection.images.grey, inspection.images.digest)
    cover = recall.cover(inspection, rules)
    advice = recall.sentences(inspection, rules, cover)
    return Studied(inspection, cover, advice, alike, repeated(inspection.contents))


def write(
    studied: Studied,
    folder: pathlib.Path,
    rules: AnchorRules,
    seed: int,
    home: str,
    progress,
    training: Training | None = None,
) -> None:
    """Writes the page and its pictures to an existing folder.

    home: address of the front page; progress: Progress; training: Training whose first images are shown, or None.
    """
    inspection = studied.inspection
    usual = choice.usual_sections(inspection, studied.cover, seed)
    odd = oddities.odd_sections(inspection, studied.repeated)
    parts = [part for part in _PARTS if training or part[0] != _TRAINING]
    links = [(home, "all splits"), *((f"#{key}", title) for key, title in parts)]
    body = [
        f"<h1>{page.name(inspection.manifest.split)}</h1>",
        f'<p class="soft">{page.name(inspection.manifest.directory)}</p>',
        *(page.note(page.text(fault), bad=True) for fault in inspection.faults),
        _key_figures(studied),
        _heading("pictures"),
        '<p class="soft">Dashed: crowd regions. Dotted: not trained on. A click shows a picture in full.</p>',
        *(_section(section, inspection, folder, progress) for section in usual),
        *(_first_images(studied.inspection, training, folder) if training else ()),
        _heading("odd"),
        *(_section(section, inspection, folder, progress, "odd") for section in odd),
        "" if odd else "<p>Nothing was found.</p>",
        _written_anomalies(inspection.manifest.anomalies),
        _heading("histograms"),
        f"<h3>Annotations per class</h3>{histograms.class_table(inspection)}",
        f'<div class="charts">{histograms.figures(inspection, rules, studied.cover)}</div>',
        _heading("anchors"),
        _anchors(studied, rules),
        _heading("duplicates"),
        _duplicates(studied, folder),
    ]
    title = f"{inspection.manifest.split} · awsdet inspect"
    (folder / "index.html").write_text(page.page(title, links, "\n".join(body)), encoding="utf-8")


def image_id(inspection, row: int):
    """The id that a reader knows an image by."""
    return inspection.manifest.own_image_id(inspection.manifest.image_id[row])


def picture_count(studied: Studied, seed: int) -> int:
    """How many pictures `write` draws."""
    usual = choice.usual_sections(studied.inspection, studied.cover, seed)
    odd = oddities.odd_sections(studied.inspection, studied.repeated)
    return sum(len(section.shown) for section in [*usual, *odd])


_TRAINING = "training"
_PARTS = (
    ("pictures", "Pictures"),
    (_TRAINING, "As training sees them"),
    ("odd", "Annotations that look wrong"),
    ("histograms", "Histograms"),
    ("anchors", "Anchors"),
    ("duplicates", "Suspected duplicates"),
)


def _heading(key):
    return f'<h2 id="{key}">{dict(_PARTS)[key]}</h2>'


def _key_figures(studied):
    manifest, contents = studied.inspection.manifest, studied.inspection.contents
    counts = np.bincount(contents.row.astype(int), minlength=manifest.num_images)[studied.inspection.images.row]
    again = sum(map(len, studied.alike)) - len(studied.alike)
    return page.cards(
        [
            (f"{len(counts):,}", "images"),
            (f"{int(contents.is_object.sum()):,}", "objects to train on"),
            (f"{len(manifest.class_names):,}", "classes"),
            (f"{int(contents.is_crowd.sum()):,}", "crowd regions"),
            (f"{int((counts == 0).sum()):,}", "images without annotations"),
            (percent(studied.cover.share_below(16)), "of the objects under 16 px in training"),
            (percent(studied.cover.share(0.5)), "of the objects have an anchor with IoU 0.5"),
            (f"{again:,}", "images that resemble another"),
        ]
    )


def _section(section, inspection, folder, progress, kind=""):
    figures = []
    for number, shown in enumerate(section.shown, start=1):
        picture = pictures.draw(inspection, shown)
        name = f"{section.key}-{number:02d}.jpg"
        (folder / name).write_bytes(picture.jpeg)
        facts = [
            f"image {image_id(inspection, shown.row)}",
            "{1} × {0} px".format(*picture.original),
            page.counted(sum(kind.count for kind in picture.kinds), "annotation"),
            *(f"annotation {inspection.contents.id[position]}" for position in shown.marked),
        ]
        figures.append(_figure(_image(name, picture), picture, facts, picture.problem or shown.why))
        progress.add()
    more = f" {len(section.shown)} of {section.total:,}." if section.total > len(section.shown) else ""
    return (
        f'<h3>{page.text(section.title)}</h3><p class="soft">{page.text(section.text + more)}</p>'
        f'<div class="grid {kind}">{"".join(figures)}</div>'
    )


def _first_images(inspection, training, folder):
    """The part of what training sees, as a list of HTML."""
    figures, problem = [], ""
    try:
        for number, (batch, index) in enumerate(first_images(inspection, training), start=1):
            picture, name = pictures.of_batch(inspection, batch, index), f"{_TRAINING}-{number:02d}.jpg"
            (folder / name).write_bytes(picture.jpeg)
            height, width = batch["image"].shape[1:3]
            facts = [
                f"image {inspection.manifest.own_image_id(int(batch['image_id'][index]))}",
                "{1} × {0} px".format(*picture.original),
                "shown as {1} × {0} px".format(*batch["image_size"][index].numpy()) + f" of {width} × {height} px",
                page.counted(sum(kind.count for kind in picture.kinds), "annotation"),
            ]
            figures.append(_figure(_image(name, picture), picture, facts, ""))
    except UserError as error:
        problem = page.note(page.text(error), bad=True)
    text = (
        f"The first images of a run with this config in one process (seed {training.seed}), with the boxes and masks "
        "that it learns from. What is black at the right and at the bottom is padding."
    )
    return [
        _heading(_TRAINING),
        f'<p class="soft">{page.text(text)}</p>{problem}<div class="grid">{"".join(figures)}</div>',
    ]


def _image(file, picture):
    width, height = picture.size
    return (
        f'<a href="{file}"><img src="{file}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{page.text(picture.file_name)}"></a>'
    )


def _figure(image, picture, facts, why):
    kinds = "".join(
        f'<span class="class">{page.swatch(kind.color)}{_number(kind)}{page.name(kind.name)} {kind.count}</span>'
        for kind in picture.kinds[:_MOST_KINDS]
    )
    more = f"and {len(picture.kinds) - _MOST_KINDS} more classes" if len(picture.kinds) > _MOST_KINDS else ""
    reason = f'<p class="why">{page.text(why)}</p>' if why else ""
    title = page.name(picture.file_name or "no file name")
    caption = f"<b>{title}</b><br>{' · '.join(map(_fact, facts))}{reason}<div>{kinds}{more}</div>"
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _fact(fact):
    return f'<span class="fact">{page.text(fact)}</span>'


def _number(kind):
    """What stands in the picture for a name that no font has."""
    return "" if kind.written else f"class {kind.index} = "


def _written_anomalies(anomalies):
    table = anomalies.to_json()
    if not table:
        return ""
    rows = [
        [page.text(entry["text"]), f"{entry['count']:,}", page.text(", ".join(map(str, entry["examples"])))]
        for entry in table.values()
    ]
    return "<h3>Found when the records were written</h3>" + page.table(["what", "#number", "such as"], rows)


def _anchors(studied, rules):
    inspection, cover = studied.inspection, studied.cover
    text = "".join(f"<p>{page.text(line)}</p>" for line in studied.advice)
    scales, ratios = (", ".join(f"{v:g}" for v in values) for values in (rules.anchors.scales, rules.anchors.ratios))
    strides = ", ".join(map(str, rules.strides))
    facts = f"Scales {scales}; ratios (height / width) {ratios}; strides {strides} px. "
    manifest = inspection.manifest
    by_class = recall.by_class(cover, inspection.contents, class_labels(manifest.class_names, manifest.category_ids))
    return (
        page.note(text, bad=cover.share(0.5) < recall.ENOUGH)
        + f'<p class="soft">{page.text(facts)}Share of the objects whose best anchor has at least this IoU:</p>'
        + f"<h3>By size</h3>{_recall_table('size at training', recall.by_size(cover), page.text, scroll=False)}"
        + f"<h3>By class, the worst first</h3>{_recall_table('class', by_class)}"
    )


def _recall_table(what, rows, shown=page.name, scroll=True):
    header = [what, "#objects", "#median size, px", *(f"IoU {level}" for level in recall.LEVELS)]
    cells = [
        [shown(row.name), f"{row.count:,}", f"{row.side:.0f}", *(page.meter(s, percent(s)) for s in row.shares)]
        for row in rows
    ]
    return page.table(header, cells, scroll)


def _duplicates(studied, folder):
    images = studied.inspection.images
    if not studied.alike:
        return "<p>No two images of this split look alike.</p>"
    figures = [_group(number, group, studied, folder) for number, group in enumerate(studied.alike[:GROUPS], start=1)]
    exact = sum(len(group) - 1 for group in duplicates.equal_images(images.digest))
    groups = page.counted(len(studied.alike), "group")
    text = f"{groups} of images that look alike. Images with the bytes of an earlier one: {exact}."
    more = f" The {GROUPS} largest groups:" if len(studied.alike) > GROUPS else ""
    return f'<p>{page.text(text + more)}</p><div class="grid odd">{"".join(figures)}</div>'


def _group(number, group, studied, folder):
    shown, lines = [], []
    for place, position in enumerate(group[:PER_GROUP], start=1):
        row = int(studied.inspection.images.row[position])
        picture = pictures.plain(studied.inspection, row, _THUMB)
        name = f"alike-{number:02d}-{place}.jpg"
        (folder / name).write_bytes(picture.jpeg)
        shown.append(_image(name, picture))
        facts = f"image {image_id(studied.inspection, row)} · " + "{1} × {0} px".format(*picture.original)
        lines.append(f"<b>{page.name(picture.file_name)}</b> {page.text(facts)}")
    same = len({studied.inspection.images.digest[position] for position in group}) == 1
    more = f"<br>and {len(group) - PER_GROUP} more" if len(group) > PER_GROUP else ""
    why = "equal bytes" if same else "alike"
    caption = f'{"<br>".join(lines)}{more}<p class="why">{why}</p>'
    return f'<figure class="wide"><div class="pair">{"".join(shown)}</div><figcaption>{caption}</figcaption></figure>'

"""The page of a report: one HTML file that holds its charts and pictures itself."""

from PIL import ImageColor

from awsdet.analysis import sections
from awsdet.analysis.charts import KIND_COLORS
from awsdet.analysis.faults import SUSPECTS
from awsdet.analysis.pictures import RIGHT, Painter
from awsdet.analysis.tide import NONE
from awsdet.evaluation.table import format_table
from awsdet.survey import page

MARK = '<meta name="generator" content="awsdet analyse">'  # by it a later call knows its own page
PICTURES, SUSPECT_PICTURES = 8, 9  # images, and suspects of each kind, that are shown
_LISTED = 100  # suspects of each kind that are listed
_STYLE = """
pre { overflow-x: auto; font-size: 13px; line-height: 1.4; background: var(--card); padding: 10px 14px;
  border-radius: 8px; }
.charts { margin: 12px 0; } .charts figure { max-width: 640px; } .matrix { padding: 10px 14px; margin: 12px 0; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 10px; margin: 12px 0; }
.small figure { padding: 6px; } details { margin: 14px 0; } summary { cursor: pointer; color: var(--main); }
.key { margin-right: 14px; white-space: nowrap; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 560px), 1fr)); gap: 16px;
  margin: 12px 0; } .pairs .pair img { height: 270px; } .note h3 { margin: 4px 0 0; }
@media print { nav { display: none; } .scroll { max-height: none; overflow: visible; }
  figure, tr { break-inside: avoid; } body { max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_KEYS = (
    (RIGHT, "right, or found"),
    (KIND_COLORS["Miss"], "not found, or only with a lower score"),
    (KIND_COLORS["Cls"], "Cls: wrong class"),
    (KIND_COLORS["Loc"], "Loc: badly placed"),
    (KIND_COLORS["Both"], "Both"),
    (KIND_COLORS["Dupe"], "Dupe: found twice"),
    (KIND_COLORS["Bkg"], "Bkg: nothing is there"),
)
_SUSPECT_TEXT = {
    "unlabelled": (
        "Sure detections where nothing is annotated",
        "Either the detector is wrong, or an object was not annotated.",
    ),
    "swapped": (
        "Objects that a sure detection calls by another name",
        "No detection of their own class matches them. Either the detector is wrong, or the annotation is.",
    ),
    "never found": (
        "Objects that nothing overlaps",
        "No detection of any class and any score lies on them (IoU 0.1). The largest come first, which should be easy.",
    ),
}


def report_page(report, manifest, source: str, progress) -> str:
    """The HTML of a report.

    Args:
      report: Report; image ids are those of the records.
      manifest: Manifest of the split.
      source: what was analysed, in words.
      progress: Progress, which counts pictures.
    """
    painter = Painter(report, manifest)
    links, body = [], []
    for kind in report.kinds:
        name = sections.NAMES[kind.name]
        links.append((f"#{kind.name}", name))
        body.append(f'<h2 id="{kind.name}">{name}</h2>{_kind(kind, report, manifest, painter, progress)}')
    links.append(("#suspects", "Annotations to look at"))
    objects = int((~report.kinds[0].pairs.crowd).sum())
    head = [
        f"<h1>{page.text('Error analysis')}</h1>",
        f'<p class="soft">{page.name(source)} on {page.name(manifest.split)} of {page.name(manifest.directory)}</p>',
        sections.summary(report),
        page.cards(
            [
                (f"{manifest.num_images:,}", "images"),
                (f"{objects:,}", "objects"),
                (f"{len(report.labels):,}", "classes"),
                (f"{len(report.results):,}", "detections"),
            ]
        ),
        f"<pre>{_lines(format_table(report.metrics, per_class=False))}</pre>",
    ]
    suspects = _suspects(report.kinds[0], report, manifest, painter, progress)
    body.append(f'<h2 id="suspects">Annotations to look at</h2>{suspects}')
    return page.page("error analysis · awsdet", links, "\n".join([*head, *body]), MARK, _STYLE)


def _lines(text):
    return "\n".join(page.text(line) for line in text.splitlines())


def picture_count(report) -> int:
    """How many pictures `report_page` draws."""
    return sum(min(PICTURES, len(kind.worst)) for kind in report.kinds) + sum(
        min(SUSPECT_PICTURES, len(found)) for found in report.kinds[0].suspects.values()
    )


def _kind(kind, report, manifest, painter, progress):
    return "".join(
        [
            f"<h3>Where points are lost</h3>{sections.losses(kind)}",
            f"<h3>Precision over recall</h3>{sections.precision(kind, report)}",
            f"<h3>AP of each class</h3>{sections.classes(kind, report)}",
            sections.parts(kind),
            f"<h3>Confusions</h3>{sections.confusions(kind, report)}",
            f"<h3>Scores</h3>{sections.scores(kind)}",
            f"<h3>The worst images</h3>{_worst(kind, report, manifest, painter, progress)}",
        ]
    )


def _worst(kind, report, manifest, painter, progress):
    if not kind.worst:
        return f"<p>At a score of {kind.score:.2f} no image has an error.</p>"
    keys = "".join(
        f'<span class="key">{page.swatch(ImageColor.getrgb(color))}{page.text(words)}</span>' for color, words in _KEYS
    )
    figures = []
    for one in kind.worst[:PICTURES]:
        shown = [_image(picture, what) for picture, what in zip(painter.pair(kind, one.image), ("true", "detected"))]
        figures.append(_figure(shown, _facts(report, manifest, one.image), one.words))
        progress.add()
    text = (
        f"Images with the most errors, {len(figures)} of {len(kind.worst):,} that have any, at a score of "
        f"{kind.score:.2f} or more. Left: the true objects. Right: what was detected. Dashed: crowd regions, and "
        "detections in them, which do not count."
    )
    return f'<p class="soft">{page.text(text)}</p><p>{keys}</p><div class="pairs">{"".join(figures)}</div>'


def _suspects(kind, report, manifest, painter, progress):
    parts = []
    for name in SUSPECTS:
        found, (title, text) = kind.suspects[name], _SUSPECT_TEXT[name]
        parts.append(f'<h3>{title}: {len(found):,}</h3><p class="soft">{text}</p>')
        figures = []
        for one in found[:SUSPECT_PICTURES]:
            shown = [_image(painter.suspect(kind, one), "suspect")]
            figures.append(_figure(shown, _facts(report, manifest, one.image), reason(one, kind, report)))
            progress.add()
        rows = [
            [page.text(_own(report, manifest, one.image)), page.name(report.file_names[one.image]), page.text(words)]
            for one, words in ((one, reason(one, kind, report)) for one in found[:_LISTED])
        ]
        if rows:
            more = (
                f" (the first {_LISTED} of {len(found):,}; the rest is in analysis.json)"
                if len(found) > _LISTED
                else ""
            )
            listed = page.table(["image id", "file", "why"], rows)
            parts.append(
                f'<div class="grid">{"".join(figures)}</div><details><summary>List{more}</summary>{listed}</details>'
            )
    return "".join(parts)


def reason(suspect, kind, report) -> str:
    """Why a suspect is one, in words."""
    labels, pairs = report.labels, kind.pairs
    parts = []
    if suspect.object != NONE:
        area = float(pairs.truth.areas[suspect.object])
        annotation = report.ground_truth["annotations"][int(pairs.truth_rows[suspect.object])]
        parts.append(
            f"annotation {annotation['id']}: {labels[pairs.truth.classes[suspect.object]]}, {area:.0f} px of area"
        )
    if suspect.detection != NONE:
        parts.append(
            f"detected as {labels[pairs.found.classes[suspect.detection]]} with a score of {suspect.score:.2f}"
        )
    return "; ".join(parts)


def _own(report, manifest, image):
    return manifest.own_image_id(report.image_ids[image])


def _facts(report, manifest, image):
    return f"<b>{page.name(report.file_names[image])}</b><br>image {page.text(_own(report, manifest, image))}"


def _image(picture, what):
    width, height = picture.size
    problem = f'<p class="warn">{page.text(picture.problem)}</p>' if picture.problem else ""
    return f'<a><img src="{picture.address}" width="{width}" height="{height}" alt="{what}"></a>{problem}'


def _figure(shown, facts, why):
    content = f'<div class="pair">{"".join(shown)}</div>' if len(shown) > 1 else shown[0]
    return f'<figure>{content}<figcaption>{facts}<p class="why">{page.text(why)}</p></figcaption></figure>'

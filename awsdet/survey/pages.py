"""Writes the pages of a record set: a front page that compares its splits, and a page for each of them."""

import base64
import pathlib
import re
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from awsdet.data.coco.categories import class_labels
from awsdet.data.records import class_names, duplicates
from awsdet.data.records.inspection import class_counts, percent
from awsdet.runtime.progress import Progress
from awsdet.survey import page, pictures, recall, split_page
from awsdet.survey.builder import AnchorRules, Training
from awsdet.survey.folder import INDEX, replaced

_LEAKS = 12  # pairs of images of two splits that are shown
_THUMB = 320  # px
_LISTED = 200  # lines of a list


class _Class(NamedTuple):
    """A row of the tables of classes. label: what no other class is called; name: what the annotation file calls it."""

    label: str
    name: str


def write_pages(inspections, folder, rules: AnchorRules, seed: int = 0, training: Training | None = None):
    """Writes index.html, and a folder with a page and pictures for each split.

    Args:
      inspections: of `inspection.inspect`, with look=True.
      folder: where to; call `folder.check` before.
      rules: AnchorRules.
      seed: of the random choice of images.
      training: Training, whose first images are shown on the page of its split; None: they are not.

    Returns the path of the front page. Raises OSError if it cannot be written.
    """
    studied = [split_page.study(inspection, rules) for inspection in inspections]
    total = sum(split_page.picture_count(one, seed) for one in studied)
    with replaced(folder) as new, Progress(total, "draw", "pictures") as progress:
        names = _folder_names([one.inspection.manifest.split for one in studied])
        for one, name in zip(studied, names):
            (new / name).mkdir()
            shown = training if training and training.split == one.inspection.manifest.split else None
            split_page.write(one, new / name, rules, seed, f"../{INDEX}", progress, shown)
        body = _front(studied, names)
        (new / INDEX).write_text(page.page("awsdet inspect", [], body), encoding="utf-8")
    return pathlib.Path(folder) / INDEX


def _folder_names(splits):
    """Names of folders for splits, which may have any name: letters, digits, _ and -, no two alike on any system."""
    names = []
    for split in splits:
        base = name = re.sub(r"[^\w-]+", "_", split, flags=re.ASCII)[:60] or "split"
        while name.lower() in (taken.lower() for taken in names):
            name = f"{base}_{len(names)}"
        names.append(name)
    return names


def _front(studied, names):
    directory, table = studied[0].inspection.manifest.directory, _class_counts(studied)
    parts = [
        "<h1>Records</h1>",
        f'<p class="soft">{page.name(directory)}</p>',
        _splits(studied, names),
        "<h2>Anchors</h2>",
        *map(_advice, studied),
        "<h2>Classes</h2>",
        _classes(studied, table),
        "<h2>Class names to look at</h2>",
        _names(table),
    ]
    if len(studied) > 1:
        parts += ["<h2>Images in two splits</h2>", _leaks(studied)]
    return "\n".join(parts)


def _splits(studied, names):
    rows = []
    for one, name in zip(studied, names):
        contents, images = one.inspection.contents, one.inspection.images
        counts = np.bincount(contents.row.astype(int), minlength=one.inspection.manifest.num_images)[images.row]
        rows.append(
            [
                f'<a href="{quote(name)}/{INDEX}"><b>{page.name(one.inspection.manifest.split)}</b></a>',
                f"{len(images.row):,}",
                f"{int(contents.is_object.sum()):,}",
                f"{np.median(counts) if len(counts) else 0:g}",
                f"{int((counts == 0).sum()):,}",
                percent(one.cover.share_below(16)),
                percent(one.cover.share(0.5)),
                f"{sum(map(len, one.alike)) - len(one.alike):,}",
                f"{len(np.unique(one.repeated[:, 1])):,}",
            ]
        )
    header = ["split", "#images", "#objects", "#annotations per image (median)", "#images without any"]
    header += ["#objects under 16 px", "#objects with an anchor of IoU 0.5", "#images like another", "#objects twice"]
    return page.table(header, rows, scroll=False)


def _advice(one):
    lines = "".join(f"<p>{page.text(line)}</p>" for line in one.advice)
    return page.note(
        f"<b>{page.name(one.inspection.manifest.split)}</b>{lines}", bad=one.cover.share(0.5) < recall.ENOUGH
    )


def _class_counts(studied):
    """_Class -> its number of annotations in each split; None for a split that does not list the class."""
    tables = []
    for one in studied:
        manifest = one.inspection.manifest
        counts = class_counts(manifest, one.inspection.contents).tolist()
        labels = class_labels(manifest.class_names, manifest.category_ids)
        tables.append(dict(zip(map(_Class, labels, manifest.class_names), counts)))
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: [table.get(key) for table in tables] for key in keys}


def _classes(studied, table):
    """All classes with their numbers in each split; those that are missing in a split stand out."""
    highs = [max((counts[i] or 0 for counts in table.values()), default=0) or 1 for i in range(len(studied))]
    rows = []
    for key in sorted(table, key=lambda key: -sum(count or 0 for count in table[key])):
        cells = [page.name(key.label)]
        for number, (count, high) in enumerate(zip(table[key], highs)):
            shown = "not in its list" if count is None else f"{count:,}"
            cells.append(shown if count else f'<b class="warn">{shown}</b>')
            cells.append(page.bar((count or 0) / high, other=number % 2 == 1))
        rows.append(cells)
    splits = [one.inspection.manifest.split for one in studied]
    missing = sum(not all(counts) and any(counts) for counts in table.values())
    text = f"Classes with annotations in some of the splits only: {missing} of {len(table)}." if missing else ""
    header = ["class", *(column for split in splits for column in (f"#{split}", ""))]
    return f"<p>{page.text(text)}</p>{page.table(header, rows)}"


def _names(table):
    keys = list(table)
    names = [key.name for key in keys]

    def named(index):
        return (
            f"<b>{page.name(keys[index].label)}</b> ({' + '.join(f'{count or 0:,}' for count in table[keys[index]])})"
        )

    lines = [f"{named(a)} and {named(b)} {page.text(why)}" for a, b, why in class_names.similar_names(names)]
    for what, found in (
        ("is only a number", class_names.number_names(names)),
        ("is blank", class_names.blank_names(names)),
        ("has no annotations at all", [i for i, key in enumerate(keys) if not any(table[key])]),
    ):
        lines += [f"{named(index)} {what}" for index in found]
    if not lines:
        return "<p>All names differ clearly, and all classes have annotations.</p>"
    more = f"<li>and {len(lines) - _LISTED} more</li>" if len(lines) > _LISTED else ""
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines[:_LISTED])}{more}</ul>"


def _leaks(studied):
    """Images of one split that look like one of another split, side by side."""
    owners = np.concatenate([np.full(len(one.inspection.images.row), i) for i, one in enumerate(studied)])
    places = np.concatenate([np.arange(len(one.inspection.images.row)) for one in studied])
    grey = np.concatenate([one.inspection.images.grey for one in studied])
    digests = [digest for one in studied for digest in one.inspection.images.digest]
    groups = [g for g in duplicates.similar_images(grey, digests) if len(np.unique(owners[g])) > 1]
    if not groups:
        return "<p>No image of one split looks like one of another split.</p>"
    figures = []
    for group in groups[:_LEAKS]:
        chosen = [group[owners[group] == owner][0] for owner in np.unique(owners[group])]
        same = len({digests[position] for position in chosen}) == 1
        figures.append(_leak([(studied[owners[p]].inspection, int(places[p])) for p in chosen], same, len(group)))
    text = (
        f"{page.counted(len(groups), 'group')} of images that look alike in more than one split. "
        "If one of the splits is for evaluation, its figures will be too good."
    )
    more = f" The {_LEAKS} largest groups:" if len(groups) > _LEAKS else ""
    return f'{page.note(page.text(text + more), bad=True)}<div class="grid odd">{"".join(figures)}</div>'


def _leak(members, same, size):
    shown, lines = [], []
    for inspection, position in members:
        row = int(inspection.images.row[position])
        picture = pictures.plain(inspection, row, _THUMB)
        data = base64.b64encode(picture.jpeg).decode()
        width, height = picture.size
        shown.append(
            f'<a><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
            f'alt="{page.text(picture.file_name)}"></a>'
        )
        facts = f"image {split_page.image_id(inspection, row)}"
        lines.append(
            f"{page.name(inspection.manifest.split)}: <b>{page.name(picture.file_name)}</b> {page.text(facts)}"
        )
    why = ("equal bytes" if same else "alike") + (f", {size} images in all" if size > len(members) else "")
    caption = f'{"<br>".join(lines)}<p class="why">{why}</p>'
    return f'<figure class="wide"><div class="pair">{"".join(shown)}</div><figcaption>{caption}</figcaption></figure>'

"""HTML that is safe with any text, readable without scripts, and complete in itself."""

import html
import re
from collections.abc import Iterable, Sequence

MARK = '<meta name="generator" content="awsdet inspect">'  # by it a later call knows its own pages
# No script may run, whatever a class name or a file name holds.
_POLICY = "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1c2430; --soft: #5d6878; --line: #dfe3e9;
  --main: #2f6fde; --other: #e08a1e; --warn: #b4400f; --warnpaper: #fdf1e7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --card: #1d232c; --ink: #e6eaf0; --soft: #9aa6b6;
  --line: #333c49; --main: #6d9eff; --other: #f0a94a; --warn: #ff9d6b; --warnpaper: #33241a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 20px 60px; max-width: 1320px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 26px; margin: 26px 0 2px; } h2 { font-size: 20px; margin: 46px 0 4px;
  scroll-margin-top: 60px; }
h3 { font-size: 16px; margin: 26px 0 2px; } p { margin: 4px 0 10px; max-width: 80ch; } a { color: var(--main); }
.soft, figcaption, th, nav { color: var(--soft); } .warn { color: var(--warn); }
.note { background: var(--card); border-left: 4px solid var(--main); padding: 8px 14px; margin: 10px 0; }
.note.bad { background: var(--warnpaper); border-color: var(--warn); } .note p { margin: 2px 0; max-width: none; }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: 10px 0;
  border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 4px 18px; }
nav a { text-decoration: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin: 16px 0; }
.card { background: var(--card); border-radius: 8px; padding: 10px 14px; } .card b { display: block; font-size: 22px; }
.card span { color: var(--soft); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px;
  margin: 12px 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 16px; }
figure { margin: 0; background: var(--card); border-radius: 8px; overflow: hidden; }
.charts figure { padding: 12px 14px; } .charts figure > b { display: block; }
figure img { display: block; width: 100%; height: 280px; object-fit: contain; background: #0b0d10; }
.pair { display: flex; flex-wrap: wrap; gap: 2px; } .pair a { flex: 1 1 130px; } .pair img { height: 200px; }
.wide { grid-column: span 2; } @media (max-width: 640px) { .wide { grid-column: auto; } }
figcaption { padding: 8px 12px 10px; font-size: 13px; } figcaption b { color: var(--ink); }
figcaption .why { color: var(--ink); margin: 2px 0; } .odd .why { color: var(--warn); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 4px; }
.class { display: inline-block; margin-right: 10px; } .fact { white-space: nowrap; }
.scroll { max-height: 420px; overflow: auto; border: 1px solid var(--line); border-radius: 8px; margin: 10px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: var(--card); text-align: left; font-weight: 600; }
th, td { padding: 4px 12px; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n, th.n { text-align: right; } td.n { white-space: nowrap; } th { white-space: normal; overflow-wrap: normal; }
td.bar { min-width: 120px; width: 28%; } td:first-child { min-width: 90px; }
.fill { display: block; height: 11px; border-radius: 2px; background: var(--main); min-width: 1px; }
.fill.other { background: var(--other); } .fill.zero { background: none; }
.meter { display: inline-block; width: 70px; height: 8px; background: var(--line); border-radius: 4px; overflow: hidden;
  margin-right: 8px; vertical-align: middle; } .meter i { display: block; height: 100%; background: var(--main); }
svg { display: block; width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); }
svg .bar, svg .dot { fill: var(--main); } svg .dot { opacity: .55; } svg .axis { stroke: var(--line); }
svg .mark { stroke: var(--other); stroke-dasharray: 4 3; } svg text.mark { fill: var(--other); stroke: none; }
"""

# Characters that are invisible or that no HTML may hold; a sign is shown in their place.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def text(value) -> str:
    """Any value as HTML text, which may also stand in an attribute between double quotes."""
    return html.escape(_UNSEEN.sub("\ufffd", str(value)))


def name(value) -> str:
    """A string of the user's as HTML, apart from the direction of the text around it."""
    return f"<bdi>{text(value)}</bdi>"


def counted(number: int, what: str) -> str:
    """A number and what it counts, as in "1 image", "2 images"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def page(title: str, links: Iterable, body: str, mark: str = MARK, style: str = "") -> str:
    """A complete page. links: (address, HTML) of the line at the top; body: HTML; mark: the element that says which
    command wrote it; style: more CSS.
    """
    line = "".join(f'<a href="{text(address)}">{label}</a>' for address, label in links)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{mark}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title><style>{_STYLE}{style}</style></head>\n<body>\n"
        f"{f'<nav>{line}</nav>' if line else ''}\n{body}\n</body></html>\n"
    )


def cards(values: Iterable) -> str:
    """Key figures: pairs (value, what it is), both text."""
    return '<div class="cards">' + "".join(map(_card, values)) + "</div>"


def _card(pair):
    return f'<div class="card"><b>{text(pair[0])}</b><span>{text(pair[1])}</span></div>'


def table(header: Sequence, rows: Iterable, scroll: bool = True) -> str:
    """A table.

    header: names of the columns; of numbers, if it begins with "#"; of bars, if it is empty. rows: lists of HTML.
    """
    kinds = [' class="n"' if name.startswith("#") else "" if name else ' class="bar"' for name in header]
    head = "".join(f"<th{kind}>{text(name.lstrip('#'))}</th>" for kind, name in zip(kinds, header))
    body = "\n".join(f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row))}</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="scroll">{whole}</div>' if scroll else whole


def bar(share: float, other: bool = False) -> str:
    """A bar that is `share` of the width of its cell, 0 to 1; other: in the second colour."""
    kind = " zero" if not share else " other" if other else ""
    return f'<span class="fill{kind}" style="width:{100 * share:.2f}%"></span>'


def meter(share: float, label: str) -> str:
    """A small bar with a label (text) behind it."""
    return f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span>{text(label)}'


def note(content: str, bad: bool = False) -> str:
    """A paragraph that stands out; content: HTML; bad: whether something is wrong."""
    return f'<div class="note{" bad" if bad else ""}">{content}</div>'


def swatch(color: tuple) -> str:
    """A small field of a colour (red, green, blue)."""
    return '<span class="swatch" style="background:#{:02x}{:02x}{:02x}"></span>'.format(*color)

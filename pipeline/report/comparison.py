"""The page that shows what a change of recipe changed: numbers, labels, and the frames behind them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any

from pipeline.comparison import Comparison, Example

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .9rem; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr:nth-child(even) { background: #f4f4f4 }
.side { display: flex; gap: 3rem; flex-wrap: wrap } .frames { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; width: 16rem } img { width: 100%; border-radius: 4px; background: #ddd; min-height: 4rem }
figcaption { font-size: .85rem } .gained { color: #17703a } .lost { color: #a3271d } small { color: #666 }
"""


def page(found: Comparison, first: str, second: str) -> str:
    """One HTML page that needs nothing else: pictures are within it."""
    frames = "".join(_figure(one) for one in found.examples)
    left_out = f" Left out: {', '.join(found.left_out)}, which only one of them asks for." if found.left_out else ""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(first)} and {escape(second)}</title><style>{_STYLE}</style></head>
<body>
<h1>{escape(first)} → {escape(second)}</h1>
<p>{found.moments:,} moments of {found.media:,} media that both looked at.{left_out}</p>
<h2>How far they agree</h2>
{_table(found.kinds)}
<div class="side"><div><h2>Gained</h2>{_table(found.gained)}</div><div><h2>Lost</h2>{_table(found.lost)}</div></div>
<h2>Examples</h2>
<div class="frames">{frames or "<p>Nothing changed.</p>"}</div>
</body></html>
"""


def _table(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th{_numeric(value)}>{escape(name.replace('_', ' '))}</th>" for name, value in rows[0].items())
    body = "".join(
        "<tr>" + "".join(f"<td{_numeric(value)}>{escape(_shown(value))}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _numeric(value: Any) -> str:
    return ' class="n"' if isinstance(value, int | float) else ""


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _figure(one: Example) -> str:
    source = f"data:image/webp;base64,{base64.b64encode(one.image).decode()}" if one.image else ""
    picture = f'<img src="{source}" alt="">' if source else "<img alt=''>"
    how = "gained" if one.gained else "lost"
    where = f"{escape(one.uri.rpartition('/')[2])} {escape(one.timecode)}"
    return (
        f'<figure>{picture}<figcaption><span class="{how}">{how}: {escape(one.label)}</span> '
        f"<small>{escape(one.kind)}<br>{where}</small></figcaption></figure>"
    )

"""A plot of a claim, as SVG: a bar for each median, with a line from the least to the most."""

from __future__ import annotations

import math

import pygal
from claims import OURS, Claim, Measured, figure
from pygal.style import Style

from patchsync.web.charts import COLOURS, DARK, LIGHT, STYLE, import_as_before, without_script

import_as_before(pygal.PluginImportFixer)

# What the charts of the web pages have not: a heading, and lines from the least to the most.
LINES = f"""
text.title {{ fill: {LIGHT}; }}
.ci path, .ci line {{ stroke: {LIGHT}; }}
@media (prefers-color-scheme: dark) {{
  text.title {{ fill: {DARK} !important; }}
  .ci path, .ci line {{ stroke: {DARK} !important; }}
}}
"""
# Above so many times the least, the rest would be too small to be seen.
WIDE = 50
LEGEND_COLUMNS, LEGEND_LINE = 3, 18
# So many letters of labels are side by side below; more are turned.
LETTERS = 84


def plot(claim: Claim) -> bytes:
    """The plot of a claim; the same figures give the same bytes."""
    names = list(dict.fromkeys(each.who for each in claim.measured))
    names.sort(key=lambda name: (name != OURS, name == claim.limit))
    seen = [sample for each in claim.measured for sample in each.samples]
    lines = math.ceil(len(names) / LEGEND_COLUMNS)
    turned = len(claim.cases) * max(map(len, claim.cases)) > LETTERS
    wide = min(seen) > 0 and max(seen) > WIDE * min(seen)
    style = Style(
        background="transparent",
        plot_background="transparent",
        colors=COLOURS,
        font_family="system-ui, sans-serif",
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        value_font_size=11,
        title_font_size=12,
        opacity="1",
        transition="none",
    )
    graph = pygal.Bar(
        style=style,
        css=["file://style.css", "file://graph.css", f"inline:{STYLE}{LINES}"],
        js=[],
        width=720,
        height=282 + LEGEND_LINE * lines + (60 if turned else 0),
        x_label_rotation=30 if turned else 0,
        margin=8,
        # pygal makes room for full lines alone.
        margin_bottom=8 + LEGEND_LINE * (lines - len(names) // LEGEND_COLUMNS),
        show_legend=names != [OURS],
        legend_at_bottom=True,
        legend_at_bottom_columns=LEGEND_COLUMNS,
        legend_box_size=10,
        truncate_legend=-1,
        truncate_label=-1,
        logarithmic=wide,
        title=f"{claim.unit}, each line ten times the one below" if wide else claim.unit,
        value_formatter=figure,
    )
    graph.uuid = "claim"
    if wide:
        graph.y_labels = _powers(min(seen), max(seen))
        graph.zero = graph.y_labels[0]
    graph.range = (graph.y_labels[0] if wide else 0, 1.1 * max(seen))
    graph.add_xml_filter(without_script)
    graph.x_labels = claim.cases
    for name in names:
        graph.add(name, [_bar(claim.of(name, case)) for case in claim.cases])
    drawn = graph.render()
    assert isinstance(drawn, bytes)
    return drawn


def _powers(least: float, most: float) -> list[float]:
    """Powers of ten, from below the least to above the most."""
    return [
        10.0**power
        for power in range(math.ceil(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
    ]


def _bar(measured: Measured | None) -> dict[str, object] | None:
    if measured is None:
        return None
    ends = {"low": min(measured.samples), "high": max(measured.samples)}
    several = len(measured.samples) > 1
    return {"value": measured.median} | ({"ci": ends} if several else {})

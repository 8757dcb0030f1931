"""Charts as SVG, by pygal: no script, nothing from elsewhere, and the same figures in words."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import Element

from patchsync.patchwork.foreign_text import visible

if TYPE_CHECKING:
    from pygal.graph.graph import Graph

WIDTH, HEIGHT = 480, 260
# Each has a contrast of 3:1 to a white page and to a dark one.
COLOURS = ("#3b78e7", "#c2600a", "#2e8b57", "#9157c9", "#d1435b", "#1a8a9a", "#7a7f87")
LIGHT, DARK = "#24292f", "#e6e8eb"  # of text, on a page that is light or dark
# An image has the colours of its page, as long as it says that it knows them.
STYLE = f"""
svg {{ color-scheme: light dark; }}
.axis text, .axis text.major, .legends .legend text, text.no_data {{ fill: {LIGHT}; }}
.axis .line, .axis .major.line {{ stroke: {LIGHT}; }}
.axis .guide.line {{ stroke-opacity: .25; }}
@media (prefers-color-scheme: dark) {{
  .axis text, .axis text.major, .legends .legend text, text.no_data {{ fill: {DARK} !important; }}
  .axis .line, .axis .major.line {{ stroke: {DARK} !important; }}
}}
"""


class Figures(NamedTuple):
    """What one bar or line of each label stands for."""

    name: str
    # One for each label; None where it is not known
    values: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A few figures, to be drawn and to be told."""

    # Of its address
    name: str
    title: str
    # What the drawing shows, for who does not see it
    summary: str
    # Of what the labels are: day
    heading: str
    labels: tuple[str, ...]
    rows: tuple[Figures, ...]
    # Lines from label to label, where bars upon each other would say nothing
    as_lines: bool = False
    # Only each so many labels has room
    label_step: int = 1

    def draw(self) -> bytes:
        """The chart as an SVG document; the same figures give the same bytes."""
        graph = self._graph()
        graph.x_labels = [visible(label) for label in self.labels]
        graph.x_labels_major = graph.x_labels[:: self.label_step]
        if self.rows:
            graph.y_labels = ticks(self._highest())
        for row in self.rows:
            graph.add(visible(row.name), row.values)
        drawn = graph.render()
        assert isinstance(drawn, bytes)
        return drawn

    def _highest(self) -> int:
        """What the drawing must have room for."""
        columns = zip(*(row.values for row in self.rows), strict=True)
        together = max if self.as_lines else sum
        return max((together(value or 0 for value in column) for column in columns), default=0)

    def _graph(self) -> Graph:
        # 40 ms that only the first chart takes
        import pygal
        from pygal.style import Style

        import_as_before(pygal.PluginImportFixer)
        style = Style(
            background="transparent",
            plot_background="transparent",
            colors=COLOURS,
            font_family="system-ui, sans-serif",
            label_font_size=12,
            major_label_font_size=12,
            legend_font_size=12,
            no_data_font_size=16,
            opacity="1",
            stroke_width="2",
            transition="none",
        )
        kind = pygal.Line if self.as_lines else pygal.StackedBar
        graph: Graph = kind(
            style=style,
            css=["file://style.css", "file://graph.css", f"inline:{STYLE}"],
            js=[],
            width=WIDTH,
            height=HEIGHT,
            margin=8,
            # A line's last label stands half beside it.
            margin_right=40 if self.as_lines else 8,
            margin_bottom=20 if len(self.rows) > 1 else 8,
            spacing=6,
            show_legend=len(self.rows) > 1,
            legend_at_bottom=True,
            legend_at_bottom_columns=3,
            legend_box_size=10,
            truncate_legend=20,
            truncate_label=-1,
            show_minor_x_labels=False,
            show_y_labels=bool(self.rows),
            no_data_text="no figures yet",
            dots_size=2.5,
            value_formatter=lambda value: f"{value:,.0f}",
        )
        graph.uuid = self.name
        graph.add_xml_filter(without_script)
        return graph


def ticks(highest: int) -> list[int]:
    """Round numbers from 0 on, at most six; the last one is `highest` or above."""
    step = next(
        number * 10**power
        for power in range(len(str(highest)))
        for number in (1, 2, 5)
        if number * 10**power * 5 >= highest
    )
    return list(range(0, max(highest, 1) + step, step))


def import_as_before(finder: type) -> None:
    """Take pygal's finder away: for the sake of maps it is asked for all that is imported."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, finder)]


def without_script(root: Element) -> Element:
    """Only what is drawn: pygal adds a script for its tooltips, and comments with the day."""
    for parent in root.iter():
        for child in list(parent):
            # A comment's tag is a function.
            if not isinstance(child.tag, str) or child.tag in ("script", "desc"):
                parent.remove(child)
    return root

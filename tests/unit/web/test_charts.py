"""Charts: what is drawn, what is told, and that neither does anything."""

from __future__ import annotations

import re
import sys
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from patchsync.web.charts import DARK, LIGHT, STYLE, Chart, Figures, ticks
from patchsync.web.figures import (
    DAYS,
    MOST_PROJECTS,
    OTHERS,
    difference_to_server,
    last_days,
    patches_a_day,
    revisions_per_patch,
    time_to_upstream,
)

HOSTILE = (
    "</svg><script>alert(1)</script>\"'&<img src=//evil.example/x onerror=alert(1)>\x1b[2J\ud800"
)
TAKEN_FOR_GRANTED = {"svg", "defs", "style", "title", "g", "rect", "path", "text", "circle"}
NOON = 1_780_000_000 // 86400 * 86400 + 43200
END = last_days(NOON)[-1]


def chart(*rows: Figures, name: str = "patches", as_lines: bool = False) -> Chart:
    labels = tuple(f"2026-01-{day:02}" for day in range(1, len(rows[0].values) + 1))
    return Chart(
        name=name,
        title="Patches a day",
        summary="few",
        heading="day",
        labels=labels,
        rows=rows,
        as_lines=as_lines,
    )


def elements(svg: bytes) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_drawing_does_nothing_and_asks_nobody(as_lines: bool) -> None:
    """No script, no handler, no link, nothing of another host, whatever a project calls itself."""
    rows = (Figures(HOSTILE, (1, 2, 3)), Figures("quiet", (0, None, 4)))
    drawn = chart(*rows, as_lines=as_lines).draw()
    found = elements(drawn)
    assert {element.tag.rpartition("}")[2] for element in found} <= TAKEN_FOR_GRANTED
    names = {name for element in found for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or "href" in name}
    assert b"<script" not in drawn
    outside = drawn.replace(b'xmlns="http://www.w3.org/2000/svg"', b"")
    assert b"<img" not in outside
    assert not re.search(rb"url\(|@import|https?:|//(?!evil)", outside)


def test_a_hostile_name_is_shown_as_text() -> None:
    """It stands in the legend, its control characters as escapes."""
    drawn = chart(Figures(HOSTILE, (1,)), Figures("quiet", (2,))).draw()
    texts = [element.text for element in elements(drawn)]
    assert any(text and text.startswith("</svg><script>alert(1)</script>") for text in texts)
    assert any(text and r"\x1b[2J\ud800" in text for text in texts)


def test_the_same_figures_give_the_same_drawing() -> None:
    """So that a browser need not load it again."""
    assert chart(Figures("a", (1, 2))).draw() == chart(Figures("a", (1, 2))).draw()
    assert chart(Figures("a", (1, 2))).draw() != chart(Figures("a", (1, 3))).draw()


def test_who_imports_something_later_does_not_meet_pygal() -> None:
    """It hangs itself into Python's imports, in a way that Python warns of."""
    chart(Figures("a", (1,))).draw()
    assert not [finder for finder in sys.meta_path if "pygal" in type(finder).__module__]


def test_a_bar_is_as_high_as_its_figure() -> None:
    """Twice as many, twice as high; none is nothing."""
    drawn = chart(Figures("a", (5, 10, 0))).draw()
    heights = [
        float(element.attrib["height"])
        for element in elements(drawn)
        if element.attrib.get("class", "").startswith("rect")
    ]
    assert heights == [pytest.approx(heights[1] / 2), heights[1], 0]
    assert heights[1] > 100


def test_a_drawing_is_readable_on_a_dark_page() -> None:
    """Its words take the colour that the page's does."""
    assert LIGHT in STYLE.split("@media")[0]
    assert DARK in STYLE.split("(prefers-color-scheme: dark)")[1]
    assert DARK.encode() in chart(Figures("a", (1,))).draw()


@pytest.mark.parametrize("highest", [0, 1, 4, 5, 6, 10, 99, 100, 101, 12345, 999_999, 10**9])
def test_the_scale_has_few_round_numbers(highest: int) -> None:
    """Whole ones from 0 on, at most six, and the highest figure is below the last."""
    scale = ticks(highest)
    assert scale[0] == 0
    assert max(highest, 1) <= scale[-1]
    assert 2 <= len(scale) <= 6
    (step,) = {second - first for first, second in pairwise(scale)}
    assert str(step).rstrip("0") in {"1", "2", "5"}


def test_nothing_to_draw_is_said() -> None:
    """A store without patches has charts, too."""
    nothing = [
        patches_a_day(last_days(NOON), {"a": {}}),
        revisions_per_patch({}),
        time_to_upstream({}),
        difference_to_server(last_days(NOON), {"a": {}}),
    ]
    for empty in nothing:
        assert empty.summary.startswith("No ")
        assert b"no figures yet" in empty.draw()


def test_patches_a_day_are_told() -> None:
    """How many, how many a day, when most, and of whom; days without any count."""
    days = last_days(NOON)
    assert len(days) == DAYS
    counts = {"netdev": {END: 40, days[0]: 5, days[0] - timedelta(1): 99}, "u-boot": {END: 15}}
    told = patches_a_day(days, counts)
    assert told.summary == (
        f"60 patches from {days[0]} to {END}, 1.0 a day, at most 55 on {END}. "
        "In all: netdev 45; u-boot 15."
    )
    assert told.rows[0].name == "netdev"
    assert told.rows[0].values[0] == 5
    assert sum(filter(None, told.rows[0].values)) == 45
    assert told.labels[-1] == str(END)


def test_many_projects_share_one_row() -> None:
    """The largest have their own, in the order of their names, and no patch is lost."""
    counts = {f"p{number:02}": {END: number} for number in (*range(20, 0, -2), *range(1, 21, 2))}
    rows = patches_a_day(last_days(NOON), counts).rows
    assert [row.name for row in rows] == [f"p{number}" for number in range(15, 21)] + [OTHERS]
    assert len(rows) == MOST_PROJECTS + 1
    assert sum(sum(filter(None, row.values)) for row in rows) == sum(range(1, 21))
    few = patches_a_day(last_days(NOON), dict(list(counts.items())[:7])).rows
    assert [row.name for row in few] == ["p08", "p10", "p12", "p14", "p16", "p18", "p20"]


def test_revisions_are_told() -> None:
    """The last bar has all that are more."""
    told = revisions_per_patch({1: 70, 2: 20, 8: 6, 30: 4})
    assert told.rows[0].values == (70, 20, 0, 0, 0, 0, 0, 10)
    assert told.labels[-1] == "8+"
    assert told.summary == (
        "100 patches, 2.78 revisions each; 70% have one, 10% three or more; at most 30."
    )


def test_time_to_upstream_is_told() -> None:
    """A patch of the same day counts to the first bar."""
    told = time_to_upstream({0: 1, 3: 2, 27: 1, 28: 1, 364: 1, 365: 1, 4000: 1})
    assert told.rows[0].values == (1, 2, 0, 1, 1, 0, 1, 2)
    assert told.summary == (
        "8 patches went upstream, half of them within 28 days of the first posting, "
        "50% within four weeks."
    )


def test_the_difference_is_told() -> None:
    """A day that nobody looked at is not one without a difference."""
    days = last_days(NOON)
    told = difference_to_server(days, {"netdev": {END: 3, days[4]: 12}, "u-boot": {END: 0}})
    assert told.rows[0].values[:5] == (None, None, None, None, 12)
    assert told.summary == (
        f"From {days[0]} to {END}, as seen last in each ten minutes, ours differed from the "
        f"server's: netdev by at most 12, on {days[4]}; u-boot never."
    )
    assert b"<circle" in told.draw()


def test_the_days_end_with_the_newest() -> None:
    """In UTC."""
    assert last_days(1_780_000_000)[-1] == date(2026, 5, 28)

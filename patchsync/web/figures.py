"""The charts of the front page: which figures they have, and how these are told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from patchsync.web.charts import COLOURS, Chart, Figures

# Of the charts by day
DAYS = 60
# The last bar of revisions has all that are more.
MOST_REVISIONS = 8
# A bar's name, and the days that it ends before
DURATIONS = (
    ("day", 1),
    ("week", 7),
    ("2 weeks", 14),
    ("4 weeks", 28),
    ("8 weeks", 56),
    ("½ year", 183),
    ("year", 365),
)
LONGER = "longer"
# A line or bar of its own has each of so many projects; the rest share one.
MOST_PROJECTS = len(COLOURS) - 1
OTHERS = "other projects"
# Days from label to label of these
LABEL_STEP = 14

# The figures of one project; None where it is not known
Values = tuple[int | None, ...]


def last_days(newest: float) -> tuple[date, ...]:
    """The days (UTC) that a chart shows, up to that of `newest`, in seconds since 1970."""
    last = datetime.fromtimestamp(newest, UTC).date()
    return tuple(last - timedelta(days=days) for days in reversed(range(DAYS)))


def patches_a_day(days: Sequence[date], counts: Mapping[str, Mapping[date, int]]) -> Chart:
    """How many patches came; `counts`: of each project, by its name, of each day that had any."""
    figures: dict[str, Values] = {
        name: tuple(of_project.get(day, 0) for day in days) for name, of_project in counts.items()
    }
    rows = _rows(figures, merge=_total)
    a_day = [_total(column) for column in zip(*figures.values(), strict=True)]
    total = sum(a_day)
    summary = "No patches yet."
    if total:
        most = max(a_day)
        busiest = days[a_day.index(most)]
        shares = "; ".join(f"{row.name} {_total(row.values):,}" for row in rows)
        summary = (
            f"{_counted(total, 'patch', 'patches')} from {days[0]} to {days[-1]}, "
            f"{total / len(days):.1f} a day, at most {most:,} on {busiest}. In all: {shares}."
        )
    return Chart(
        name="patches",
        title="Patches a day",
        summary=summary,
        heading="day",
        labels=tuple(map(str, days)),
        rows=rows if total else (),
        label_step=LABEL_STEP,
    )


def revisions_per_patch(numbers: Mapping[int, int]) -> Chart:
    """How many patches have how many revisions; `numbers`: of each number of revisions."""
    bars = [numbers.get(revisions, 0) for revisions in range(1, MOST_REVISIONS)]
    bars.append(sum(count for revisions, count in numbers.items() if revisions >= MOST_REVISIONS))
    total = sum(bars)
    summary = "No patches yet."
    if total:
        mails = sum(revisions * count for revisions, count in numbers.items())
        summary = (
            f"{_counted(total, 'patch', 'patches')}, {mails / total:.2f} revisions each; "
            f"{_share(bars[0], total)} have one, {_share(sum(bars[2:]), total)} three or more; "
            f"at most {max(numbers):,}."
        )
    return Chart(
        name="revisions",
        title="Revisions of a patch",
        summary=summary,
        heading="revisions",
        labels=(*map(str, range(1, MOST_REVISIONS)), f"{MOST_REVISIONS}+"),
        rows=(Figures("patches", tuple(bars)),) if total else (),
    )


def time_to_upstream(numbers: Mapping[int, int]) -> Chart:
    """How long patches took from their first mail to their commit; `numbers`: by whole days."""
    bars = [0] * (len(DURATIONS) + 1)
    for took, count in numbers.items():
        bars[sum(took >= days for _, days in DURATIONS)] += count
    total = sum(bars)
    summary = "No patch with its commit yet."
    if total:
        half = _median(numbers)
        weeks = _share(sum(bars[:4]), total)
        summary = (
            f"{_counted(total, 'patch', 'patches')} went upstream, half of them within "
            f"{_counted(half + 1, 'day', 'days')} of the first posting, {weeks} within four weeks."
        )
    return Chart(
        name="upstream",
        title="From first posting to upstream",
        summary=summary,
        heading="within",
        labels=(*(name for name, _ in DURATIONS), LONGER),
        rows=(Figures("patches", tuple(bars)),) if total else (),
    )


def difference_to_server(days: Sequence[date], largest: Mapping[str, Mapping[date, int]]) -> Chart:
    """By how many patches we and the server differed; `largest`: the most of each day.

    Of each ten minutes only the last counts: new patches that were fetched by then are none.
    """
    figures = {name: tuple(map(of_project.get, days)) for name, of_project in largest.items()}
    known = {name: values for name, values in figures.items() if _most(values) is not None}
    rows = _rows(known, merge=_most)
    summary = "No round yet."
    if rows:
        told = "; ".join(f"{row.name} {_worst(row, days)}" for row in rows)
        summary = (
            f"From {days[0]} to {days[-1]}, as seen last in each ten minutes, ours differed from "
            f"the server's: {told}."
        )
    return Chart(
        name="difference",
        title="Difference to the server",
        summary=summary,
        heading="day",
        labels=tuple(map(str, days)),
        rows=rows,
        as_lines=True,
        label_step=LABEL_STEP,
    )


def _rows(
    figures: Mapping[str, Values], merge: Callable[[Iterable[int | None]], int | None]
) -> tuple[Figures, ...]:
    """A row for each project by name, so that one has its colour in each chart.

    The largest, where there are too many: the others have one row together.
    """
    rows = [Figures(*item) for item in sorted(figures.items())]
    if len(rows) <= MOST_PROJECTS + 1:
        return tuple(rows)
    by_size = sorted(rows, key=lambda row: merge(row.values) or 0, reverse=True)
    largest = set(by_size[:MOST_PROJECTS])
    rest = zip(*(row.values for row in by_size[MOST_PROJECTS:]), strict=True)
    others = Figures(OTHERS, tuple(map(merge, rest)))
    return (*(row for row in rows if row in largest), others)


def _total(values: Iterable[int | None]) -> int:
    return sum(value or 0 for value in values)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _worst(row: Figures, days: Sequence[date]) -> str:
    most = _most(row.values)
    return f"by at most {most:,}, on {days[row.values.index(most)]}" if most else "never"


def _median(numbers: Mapping[int, int]) -> int:
    middle = sum(numbers.values()) / 2
    passed = 0
    for number in sorted(numbers):
        passed += numbers[number]
        if passed >= middle:
            return number
    raise ValueError("a median of nothing")


def _counted(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _share(part: int, total: int) -> str:
    return f"{part / total:.0%}"

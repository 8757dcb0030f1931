"""How many patches the server and we had: few rows, for a year, whatever the clock does."""

from __future__ import annotations

import pytest

from patchsync.store.count_history import KEPT_SECONDS, SLOT_SECONDS, CountHistory, Counts
from patchsync.store.layout import ContainerPaths

START = 1_700_000_000.0 // SLOT_SECONDS * SLOT_SECONDS


@pytest.fixture
def history(paths: ContainerPaths) -> CountHistory:
    return CountHistory(paths)


def test_looking_leaves_nothing_behind(history: CountHistory, paths: ContainerPaths) -> None:
    """Of a project that was never probed nothing is known."""
    assert history.since(0) == []
    assert not paths.d_mbox.exists()


def test_ten_minutes_are_one_row(history: CountHistory) -> None:
    """The last that differs from the one before it: most rounds write nothing."""
    for minute, (server, ours) in enumerate([(5, 5), (6, 5), (6, 6), (6, 6)]):
        history.record(Counts(START + 60 * minute, server, ours))
    assert history.since(0) == [Counts(START + 120, 6, 6)]
    history.record(Counts(START + SLOT_SECONDS, 6, 6))
    assert history.since(0) == [Counts(START + 120, 6, 6), Counts(START + SLOT_SECONDS, 6, 6)]
    assert history.since(START + 121) == [Counts(START + SLOT_SECONDS, 6, 6)]


def test_of_a_longer_time_the_largest_difference_shows(history: CountHistory) -> None:
    """An hour of a backlog is seen in a chart of a year, whoever had more."""
    day = START // 86400 * 86400 + 86400
    found = [Counts(day + n * SLOT_SECONDS, 100, 100) for n in range(144)]
    found[70] = found[70]._replace(ours=90)
    found[71] = found[71]._replace(ours=111)
    for counts in found:
        history.record(counts)
    assert history.since(day, every=86400) == [found[71]]
    assert history.since(day) == found


def test_a_year_is_kept(history: CountHistory) -> None:
    """What is older goes, and what a clock that was set back left in the time to come."""
    history.record(Counts(START, 1, 1))
    history.record(Counts(START + KEPT_SECONDS, 2, 2))
    assert [counts.server for counts in history.since(0)] == [1, 2]
    history.record(Counts(START + KEPT_SECONDS + SLOT_SECONDS, 3, 3))
    assert [counts.server for counts in history.since(0)] == [2, 3]
    history.record(Counts(START + KEPT_SECONDS, 4, 4))
    assert [counts.server for counts in history.since(0)] == [4]


def test_a_damaged_file_is_made_anew(history: CountHistory, paths: ContainerPaths) -> None:
    """It is a cache: it begins again."""
    history.record(Counts(START, 1, 1))
    paths.counts.write_bytes(b"no database" * 999)
    history.record(Counts(START, 2, 2))
    assert [counts.server for counts in history.since(0)] == [2]

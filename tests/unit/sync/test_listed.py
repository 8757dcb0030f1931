"""What was listed is not listed again, where it is certain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.layout import ContainerPaths
from patchsync.sync import listed
from patchsync.sync.audit import ListedSince, _to_go_on_with
from patchsync.sync.id_set import IdSet
from patchsync.sync.listed import ListedRanges, note_listed
from patchsync.sync.records import AuditRecord

IDS = (3, 5, 8, 9)
RESULT = FetchResult(listed=tuple((number, f"<{number}@x>") for number in IDS), listed_at=100.0)
AUDIT = AuditRecord(
    began=50, at=51, pages=1, all_pages=9, ended=False, agreed=False, last_agreed=None, state={}
)


@pytest.fixture
def paths(tmp_path: Path) -> ContainerPaths:
    """A store with one note, of the answer that listed `IDS`."""
    paths = ContainerPaths(d_mbox=tmp_path, listaddr="list@example.org", project_id=1)
    paths.listed.parent.mkdir(parents=True)
    note_listed(paths, RESULT)
    return paths


def cover(paths: ContainerPaths, known: IdSet, since: float = 100.0, now: float = 200.0) -> bool:
    """Whether the ids from 3 to 9 need not be listed again."""
    ranges = ListedRanges.of(paths, known, since=since, now=now)
    return ranges.borders(known.rank(3), known.rank(9) + 1) is not None


def test_what_was_listed_since_and_is_ours(paths: ContainerPaths) -> None:
    """In any order, and twice; not what lies beside it."""
    note_listed(paths, replace(RESULT, listed=RESULT.listed[::-1]))
    known = IdSet([1, *IDS, 11])
    assert cover(paths, known)
    ranges = ListedRanges.of(paths, known, since=0, now=200)
    assert ranges.borders(0, 2) is None
    assert ranges.borders(1, 6) is None


@pytest.mark.parametrize(
    "known",
    [
        IdSet([3, 5, 9]),  # one of them was lost, or is not stored yet
        IdSet([3, 5, 7, 9]),  # and another one came
        IdSet([3, 4, 5, 8, 9]),  # one came late
        IdSet(IDS, gone=[8]),  # one went away
        IdSet([5, 8, 9]),
        IdSet([3, 5, 8]),
        IdSet([]),
    ],
)
def test_what_is_ours_has_changed(paths: ContainerPaths, known: IdSet) -> None:
    """Then the answer proves nothing of what we hold now."""
    assert not cover(paths, known)


def test_what_was_listed_before(paths: ContainerPaths) -> None:
    """It proves nothing of what was so when the sync began, nor does a message that comes again."""
    note_listed(paths, RESULT)
    assert not cover(paths, IdSet(IDS), since=100.5)


def test_a_clock_that_was_set_back(paths: ContainerPaths) -> None:
    """What was noted before seems to come; it must not count when that time has come, either."""
    assert not cover(paths, IdSet(IDS), since=60, now=61)
    assert not cover(paths, IdSet(IDS), since=60, now=200)


def test_ranges_of_several_answers_together(paths: ContainerPaths) -> None:
    """They may touch and overlap; between them nothing of ours may lie."""
    note_listed(paths, FetchResult(listed=((9, "<9@x>"), (12, "<12@x>")), listed_at=101.0))
    note_listed(paths, FetchResult(listed=((20, "<20@x>"),), listed_at=101.0))
    known = IdSet([*IDS, 12, 20])
    ranges = ListedRanges.of(paths, known, since=0, now=200)
    assert ranges.borders(0, 6) == [0, 5, 6]
    assert ranges.borders(1, 5) == [5]
    assert ranges.borders(1, 4) == []
    assert ranges.borders(5, 6) == [5, 6]
    known = IdSet([*IDS, 12, 15, 20])
    ranges = ListedRanges.of(paths, known, since=0, now=200)
    assert ranges.borders(0, 5) == [0, 5]
    assert ranges.borders(0, 6) is None
    assert ranges.borders(5, 6) is None


def test_several_answers_are_none(paths: ContainerPaths) -> None:
    """What a round saw, or what was asked for singly, is of many answers."""
    paths.listed.unlink()
    note_listed(paths, replace(RESULT, listed_at=0.0))
    assert not paths.listed.exists()


@pytest.mark.parametrize("torn", ["3 9", "3 9 00 100.5", "3", "\x00\x00\x00"])
def test_a_note_that_was_cut_off(paths: ContainerPaths, torn: str) -> None:
    """It is lost, and the one that was written behind it; the others count."""
    with paths.listed.open("a") as file:
        file.write(torn)
    note_listed(paths, FetchResult(listed=((20, "<20@x>"),), listed_at=101.0))
    note_listed(paths, FetchResult(listed=((22, "<22@x>"),), listed_at=101.0))
    known = IdSet([*IDS, 20, 22])
    ranges = ListedRanges.of(paths, known, since=0, now=200)
    assert ranges.borders(0, 4) == [0, 4]
    assert ranges.borders(4, 5) is None
    assert ranges.borders(5, 6) == [5, 6]


def test_notes_are_bounded(paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet that runs for years notes each page that it fetches."""
    monkeypatch.setattr(listed, "MOST_BYTES", 1000)
    for _ in range(100):
        note_listed(paths, RESULT)
    assert paths.listed.stat().st_size < 1100
    assert cover(paths, IdSet(IDS))


def test_what_cannot_be_noted_holds_up_nothing(
    paths: ContainerPaths, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as where the disk is full: the audit lists it."""
    paths.listed.unlink()
    paths.listed.mkdir()
    note_listed(paths, RESULT)
    assert "an audit lists it again" in caplog.text


@pytest.mark.parametrize(
    ("before", "since", "listed_since", "goes_on", "began", "now_since"),
    [
        # The next step of its own
        (None, 50, None, True, 50, None),
        (40, 50, 40, True, 50, 40),
        # The step of one that was overtaken, and may go by what the other one does
        (None, 45, 40, None, None, None),
        (40, 45, 40, None, None, None),
        (40, 45, 30, None, None, None),
        # The other one goes by what was listed too long ago for it: begun anew, for both
        (40, 45, 42, False, 50, 42),
        (40, 45, None, False, 50, None),
        (40, 50, 42, False, 50, 42),
        # One that overtakes
        (40, 60, 55, False, 60, 55),
        (None, 60, 55, False, 60, 55),
    ],
)
def test_two_syncs_at_once(
    before: float | None,
    since: float,
    listed_since: float | None,
    goes_on: bool | None,
    began: float | None,
    now_since: float | None,
) -> None:
    """Neither takes for proof what was listed before it began."""
    former = replace(AUDIT, listed_since=before)
    wanted = None if listed_since is None else ListedSince(listed_since, 100)
    record = _to_go_on_with(former, since, wanted, 7)
    if goes_on is None:
        assert record is None
        return
    assert record is not None
    assert (record is former) == goes_on
    assert (record.began, record.listed_since) == (began, now_since)

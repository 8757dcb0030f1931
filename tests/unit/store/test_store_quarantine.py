"""Gone patches and patches that were quarantined, as files of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patchsync.errors import StoreDamaged
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.gone import read_gone, write_gone
from patchsync.store.layout import ContainerPaths
from patchsync.store.quarantine import Quarantined, due, read_quarantine, tried, write_quarantine
from patchsync.store.writer import StoreWriter

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_nothing_is_known_where_there_is_no_file(tmp_path: Path) -> None:
    """A new store has neither."""
    assert read_gone(tmp_path / "gone") == frozenset()
    assert read_quarantine(tmp_path / "quarantine") == {}


def test_gone_ids_are_kept_one_a_line_sorted(tmp_path: Path) -> None:
    """For people to read, and for `diff`."""
    write_gone(tmp_path / "gone", {30, 4, 200})
    assert (tmp_path / "gone").read_text() == "4\n30\n200\n"
    assert read_gone(tmp_path / "gone") == {4, 30, 200}


def test_what_is_quarantined_is_kept_with_its_reason_and_times(tmp_path: Path) -> None:
    """Whatever characters the reason holds."""
    path = tmp_path / "quarantine"
    entries = {
        patch_id: Quarantined(
            id=patch_id, reason='"a\nb\u2028c\ud800', first=NOON, last=NOON + HOUR, tries=2
        )
        for patch_id in (7, 3)
    }
    write_quarantine(path, entries)
    assert read_quarantine(path) == entries
    assert path.read_text().count("\n") == 2
    assert path.read_text().startswith('{"id": 3, ')


def test_the_file_of_an_older_patchsync_is_read_and_renamed(paths: ContainerPaths) -> None:
    """Under its former name until something is written, then under today's; nothing is lost."""
    former = paths.quarantine.with_name("set-aside")
    former.parent.mkdir(parents=True)
    former.write_text(f"{GOOD}\n")
    before = read_quarantine(paths.quarantine)
    assert set(before) == {3}
    with StoreWriter(paths) as writer:
        writer.apply(FetchResult(quarantined=((5, "too large"),)))
    assert not former.exists()
    after = read_quarantine(paths.quarantine)
    assert set(after) == {3, 5} and after[3] == before[3]


@pytest.mark.parametrize("line", ["x", "-1", "0", "1 2", "", "٣", "1" * 5000])
def test_a_foreign_line_among_the_gone_is_named(tmp_path: Path, line: str) -> None:
    """File and line, not a traceback."""
    path = tmp_path / "gone"
    path.write_text(f"4\n{line}\n5\n")
    with pytest.raises(StoreDamaged, match="gone, line 2: "):
        read_gone(path)


GOOD = '{"id": 3, "reason": "r", "first": "2026-07-25T12:00:00+00:00", '
GOOD += '"last": "2026-07-25T12:00:00+00:00", "tries": 1}'


@pytest.mark.parametrize(
    "line",
    [
        *("x", "{}", "[]", "3", "[" * 5000),
        GOOD.replace("3", '"3"', 1),
        GOOD.replace("3", "0", 1),
        GOOD.replace("3", "9" * 20, 1),
        GOOD.replace('"r"', "null"),
        GOOD.replace("+00:00", ""),
        GOOD.replace("2026-07-25", "yesterday"),
        GOOD.replace(": 1}", ": 0}"),
    ],
)
def test_a_foreign_line_among_what_is_quarantined_is_named(tmp_path: Path, line: str) -> None:
    """File and line, not a traceback."""
    path = tmp_path / "quarantine"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(StoreDamaged, match="quarantine, line 2: "):
        read_quarantine(path)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    """As after a disk error."""
    (tmp_path / "gone").write_bytes(b"4\n\xff\n")
    with pytest.raises(StoreDamaged, match="gone, line 2: "):
        read_gone(tmp_path / "gone")


@pytest.mark.parametrize(
    ("tries", "wait"),
    [
        (1, HOUR),
        (2, timedelta(days=1)),
        (3, timedelta(weeks=1)),
        (4, timedelta(weeks=1)),
        (99, timedelta(weeks=1)),
    ],
)
def test_it_is_tried_again_after_an_hour_a_day_then_each_week(tries: int, wait: timedelta) -> None:
    """Counted from the latest try."""
    entry = Quarantined(id=3, reason="r", first=NOON - 99 * HOUR, last=NOON, tries=tries)
    assert due([entry], NOON + wait) == [3]
    assert due([entry], NOON + wait - timedelta(seconds=1)) == []
    assert due([entry], NOON - timedelta(days=1)) == [3], "a clock was set back"


def test_a_further_try_keeps_the_first_time_and_takes_the_new_reason() -> None:
    """And counts."""
    once = tried(None, 3, "too large", NOON)
    twice = tried(once, 3, "still too large", NOON + 2 * HOUR)
    assert once == Quarantined(id=3, reason="too large", first=NOON, last=NOON, tries=1)
    assert twice == Quarantined(
        id=3, reason="still too large", first=NOON, last=NOON + 2 * HOUR, tries=2
    )


def test_a_doubled_message_is_no_further_try() -> None:
    """Else a patch would wait for a week because of one redelivery."""
    once = tried(None, 3, "too large", NOON)
    assert tried(once, 3, "too large", NOON + HOUR / 2) == once

"""What is new in an mbox is read bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_fakes import config_in, mbox_of, member_of, project_in, project_mbox_of, rendered, store

from patchsync.imports import new_mails
from patchsync.imports.archive import ArchiveFault
from patchsync.imports.new_mails import batches
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail


def in_batches(folder: Path, content: bytes, most: int, tables: str = "") -> list[FetchResult]:
    config = config_in(folder, tables)
    with project_mbox_of(config, content) as mbox, member_of(folder, content) as member:
        mbox.judge(None, bare=False)
        return list(batches(mbox, member, most))


def test_each_batch_is_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    """In order; a mail that is longer is one of its own."""
    sizes = (300, 300, 300, 5000, 300, 999, 300)
    mails = [rendered(n, size) for n, size in enumerate(sizes, start=1)]
    read = in_batches(tmp_path, mbox_of(*mails), 1200)
    assert [mail for batch in read for mail in batch.mails] == [*map(parse_mail, mails)]
    assert [len(batch.mails) for batch in read] == [3, 1, 1, 1, 1]


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    """Known mails are passed over; what is quarantined goes with its reason, without its bytes."""
    store(project_in(config_in(tmp_path)), rendered(2))
    mails = [rendered(1), rendered(2), rendered(3), rendered(4, 5000), rendered(5)]
    limit = "[patchwork]\nmax_mail_bytes = 2000\n"
    (batch,) = in_batches(tmp_path, mbox_of(*mails), 10_000, limit)
    assert [*batch.mails] == [parse_mail(mails[n]) for n in (0, 2, 4)]
    ((number, reason),) = batch.quarantined
    assert number == 4
    assert "2000" in reason


def test_a_batch_has_not_too_many_mails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short they are."""
    monkeypatch.setattr(new_mails, "BATCH_MAILS", 2)
    read = in_batches(tmp_path, mbox_of(*map(rendered, range(1, 6))), 10**6)
    assert [len(batch.mails) for batch in read] == [2, 2, 1]


def test_an_mbox_that_was_cut_meanwhile_is_named(tmp_path: Path) -> None:
    """Its last mail is not stored in half."""
    content = mbox_of(*map(rendered, (1, 2)))
    config = config_in(tmp_path)
    with (
        project_mbox_of(config, content) as mbox,
        member_of(tmp_path, content[:-10]) as member,
        pytest.raises(ArchiveFault, match="shorter than it was"),
    ):
        list(batches(mbox, member, 10_000))


def test_an_mbox_that_changed_meanwhile_is_named(tmp_path: Path) -> None:
    """What stands where a mail was is not stored as that mail."""
    content = mbox_of(*map(rendered, (1, 2)))
    config = config_in(tmp_path)
    for other in (b"x" + content, content[:100] + b"x" + content[100:]):
        with (
            project_mbox_of(config, content) as mbox,
            member_of(tmp_path, b"From " + other[5:]) as member,
            pytest.raises(ArchiveFault, match="no mail where one was"),
        ):
            list(batches(mbox, member, 10_000))


def test_mails_are_read_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a block of the mbox ends, and whatever is passed over."""
    stored = range(1, 60, 3)
    store(project_in(config_in(tmp_path)), *map(rendered, stored))
    content = mbox_of(*(rendered(number, 150 + 9 * number) for number in range(1, 60)))
    new = [parse_mail(rendered(n, 150 + 9 * n)) for n in range(1, 60) if n not in stored]
    for size in (1, 100, 1000, 10**6):
        monkeypatch.setattr(new_mails, "_READ", size)
        (batch,) = in_batches(tmp_path, content, 10**6)
        assert [*batch.mails] == new

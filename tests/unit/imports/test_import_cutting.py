"""An mbox is cut into pieces of what is new."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_fakes import config_in, mbox_of, member_of, part_of, rendered, site_in, store

from patchsync.archive.source import ArchiveFault
from patchsync.archive.spool import Contents, Piece
from patchsync.imports import cutting
from patchsync.patchwork.mbox import parse_mail


def cut(folder: Path, mbox: bytes, most: int, tables: str = "") -> list[tuple[Piece, Contents]]:
    config = config_in(folder, tables)
    with part_of(config, mbox) as part, member_of(folder, mbox) as member:
        part.judge(None, bare=False)
        return list(cutting.pieces(part, member, most))


def test_each_piece_is_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    """In order; a mail that is longer is a piece of its own."""
    sizes = (300, 300, 300, 5000, 300, 999, 300)
    mails = [rendered(n, size) for n, size in enumerate(sizes, start=1)]
    mbox = mbox_of(*mails)
    found = cut(tmp_path, mbox, 1200)
    assert [mail for _, contents in found for mail in contents.mails] == [*map(parse_mail, mails)]
    for piece, contents in found:
        whole = b"".join(mail.content for mail in contents.mails)
        assert len(whole) <= 1200 or len(contents.mails) == 1
        assert mbox[piece.start : piece.start + piece.length] == whole
    assert [len(contents.mails) for _, contents in found] == [3, 1, 1, 1, 1]


def test_only_what_is_new_is_in_a_piece(tmp_path: Path) -> None:
    """Known mails are passed over; what is quarantined goes with its reason, without its bytes."""
    store(site_in(config_in(tmp_path)), rendered(2))
    mails = [rendered(1), rendered(2), rendered(3), rendered(4, 5000), rendered(5)]
    limit = "[patchwork]\nmax_mail_bytes = 2000\n"
    ((_, contents),) = cut(tmp_path, mbox_of(*mails), 10_000, limit)
    assert [*contents.mails] == [parse_mail(mails[n]) for n in (0, 2, 4)]
    ((number, reason),) = contents.quarantined
    assert number == 4
    assert "2000" in reason


def test_a_piece_has_not_too_many_mails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short they are."""
    monkeypatch.setattr(cutting, "PIECE_MAILS", 2)
    found = cut(tmp_path, mbox_of(*map(rendered, range(1, 6))), 10**6)
    assert [len(contents.mails) for _, contents in found] == [2, 2, 1]


def test_an_mbox_that_was_cut_meanwhile_is_named(tmp_path: Path) -> None:
    """Its last mail is not stored in half."""
    mbox = mbox_of(*map(rendered, (1, 2)))
    config = config_in(tmp_path)
    with (
        part_of(config, mbox) as part,
        member_of(tmp_path, mbox[:-10]) as member,
        pytest.raises(ArchiveFault, match="shorter than it was"),
    ):
        list(cutting.pieces(part, member))


def test_an_mbox_that_changed_meanwhile_is_named(tmp_path: Path) -> None:
    """What stands where a mail was is not stored as that mail."""
    mbox = mbox_of(*map(rendered, (1, 2)))
    config = config_in(tmp_path)
    for other in (b"x" + mbox, mbox[:100] + b"x" + mbox[100:]):
        with (
            part_of(config, mbox) as part,
            member_of(tmp_path, b"From " + other[5:]) as member,
            pytest.raises(ArchiveFault, match="no mail where one was"),
        ):
            list(cutting.pieces(part, member))

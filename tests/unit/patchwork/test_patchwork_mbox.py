"""Reading one mail, and taking a series' mbox apart."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchwork_fakes import message_id, rendered_mail

from patchsync.patchwork.mbox import MailError, certain, parse_mail, split_series

FAKE = (
    b"From patchwork Tue Apr 30 08:54:45 2019\n"
    b"X-Patchwork-Id: 8\n"
    b"Message-Id: <8@example.org>\n"
    b"\n"
    b"Imitated\n"
)


def test_a_mail_is_kept_as_a_dumparchive_holds_it() -> None:
    """The content is what the API serves and one newline, whatever it ends with."""
    for body in (b"no newline", b"one\n", b"two\n\n", b""):
        rendered = rendered_mail(7, body)
        assert parse_mail(rendered).content == rendered + b"\n"


def test_what_a_mail_says_of_itself() -> None:
    """Id, message-id and Patchwork's UTC date come from the header block."""
    mail = parse_mail(rendered_mail(7))
    assert (mail.patch_id, mail.message_id, mail.date) == (7, "<7@example.org>", "2019/04/29")


def test_a_day_of_one_digit_has_a_leading_zero() -> None:
    """ctime pads with a space, the store's folders with a zero."""
    rendered = rendered_mail(7).replace(b"Apr 29", b"Dec  3")
    assert parse_mail(rendered).date == "2019/12/03"


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("Message-Id: \n <long@example.org>", "<long@example.org>"),
        ("Message-ID:\n\t<tab@example.org>", "<tab@example.org>"),
        ("message-id: <a@b> (added by postmaster@c)", "<a@b>"),
        ("Message-Id: <two\n words@example.org>", "<two words@example.org>"),
        ("Message-Id: no brackets@example.org ", "no brackets@example.org"),
        ("Message-Id: =?utf-8?q?=3Cencoded=40example=2Eorg=3E?=", "<encoded@example.org>"),
        ("Message-Id: <1@x>\nMessage-Id: <2@x>", "<1@x>"),
        (f"Message-Id: <{'x' * 300}@y>", "<" + "x" * 254),
    ],
)
def test_a_message_id_reads_as_the_api_lists_it(header: str, shown: str) -> None:
    """Unfolded, without comments, the first one, cut: as Patchwork's own parser does."""
    rendered = rendered_mail(7).replace(b"Message-Id: <7@example.org>", header.encode())
    assert parse_mail(rendered).message_id == shown


def test_a_header_of_another_patchwork_does_not_count() -> None:
    """A mail that came through another Patchwork brings that one's id along, after ours."""
    rendered = rendered_mail(7).replace(b"Subject:", b"X-Patchwork-Id: 99\nSubject:")
    assert parse_mail(rendered).patch_id == 7


def test_a_body_that_imitates_headers_does_not_count() -> None:
    """Only what stands before the first empty line is a header."""
    rendered = rendered_mail(7, b"X-Patchwork-Id: 8\n").replace(b"X-Patchwork-Id: 7\n", b"")
    with pytest.raises(MailError, match="X-Patchwork-Id"):
        parse_mail(rendered)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"From patchwork", b"From nobody", "first line"),
        (b"Apr 29", b"Apr 31", "date"),
        (b"Apr 29", b"Mai 29", "first line"),
        (b"Message-Id: <7@example.org>\n", b"", "no Message-Id"),
        (b"X-Patchwork-Id: 7\n", b"X-Patchwork-Id: seven\n", "X-Patchwork-Id"),
        (b"X-Patchwork-Id: 7\n", b"X-Patchwork-Id: " + b"9" * 30 + b"\n", "X-Patchwork-Id"),
        (b"\n\n", b"\n", "empty line"),
    ],
)
def test_what_is_no_mail_is_refused_with_the_reason(old: bytes, new: bytes, why: str) -> None:
    """Nothing that Patchwork would not render becomes a mail."""
    with pytest.raises(MailError, match=why):
        parse_mail(rendered_mail(7).replace(old, new))


def test_a_series_is_taken_apart_between_its_mails() -> None:
    """One newline joins them, and each comes back to the byte."""
    parts = [rendered_mail(1), rendered_mail(2, b"no newline"), rendered_mail(3, b"two\n\n")]
    assert split_series(b"\n".join(parts)) == parts


def test_a_from_line_in_a_body_parts_nothing() -> None:
    """Patches hold lines that look like an mbox's, and Patchwork escapes none."""
    bodies = [
        b"From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001\nX: y\n\n+\n",
        b"From patchwork Mon Apr 29 08:54:45 2019\n\nX-Patchwork-Id: 3\n",
        b"From patchwork with love\nX-Patchwork-Id: 3\n\n",
        b"quoted: From patchwork Mon Apr 29 08:54:45 2019\nX-Patchwork-Id: 3\n\n",
    ]
    parts = [rendered_mail(number, body) for number, body in enumerate(bodies, 1)]
    assert split_series(b"\n".join(parts)) == parts


def listed(*numbers: int) -> set[tuple[int, str]]:
    """Ids and message-ids, as a page lists them."""
    return {(number, message_id(number)) for number in numbers}


def test_an_imitated_beginning_leaves_its_mail_in_doubt() -> None:
    """The mail whose body it stands in is cut short by it; the others are whole."""
    body = b"\n".join([rendered_mail(7, b"Text\n" + FAKE), rendered_mail(9)])
    assert [mail.patch_id for mail in certain(body, listed(7, 9))] == [9]


def test_an_imitated_member_leaves_none() -> None:
    """Which of the two is the real one cannot be told, nor where the one before it ends."""
    body = b"\n".join([rendered_mail(7, b"Text\n" + FAKE), rendered_mail(8), rendered_mail(9)])
    assert certain(body, listed(7, 8, 9)) == []


def test_a_body_full_of_beginnings_takes_no_time() -> None:
    """Its size counts, not its square; else one mail could keep a worker busy for hours."""
    line = b"From patchwork Mon Apr 29 08:54:45 2019\n"
    assert len(split_series(rendered_mail(1, line * 100_000))) == 1


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_any_bodies_come_back_to_the_byte(bodies: list[bytes]) -> None:
    """What a body holds makes no difference, short of a whole imitated beginning."""
    parts = [rendered_mail(number, body) for number, body in enumerate(bodies, 1)]
    body = b"\n".join(parts)
    assert split_series(body) == parts
    numbers = range(1, len(parts) + 1)
    assert certain(body, listed(*numbers)) == [parse_mail(part) for part in parts]


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> bytes:
    with tarfile.open(shared_data / "jailhouse" / "dumparchive.tar.gz") as tar:
        member = tar.extractfile("jailhouse.mbox")
        assert member is not None
        return member.read()


@pytest.fixture(scope="module")
def rendered(archive: bytes) -> dict[int, bytes]:
    """The 1,535 real mails, as the API serves them, by id.

    In an archive each is followed by one newline, which is how a series joins them as well.
    """
    parts = split_series(archive.removesuffix(b"\n"))
    return {parse_mail(part).patch_id: part for part in parts}


def test_real_mails_give_the_real_index(rendered: dict[int, bytes], shared_data: Path) -> None:
    """Date, message-id, md5 and id of 1,535 mails are those that the store must have."""
    lines = []
    for part in rendered.values():
        mail = parse_mail(part)
        digest = hashlib.md5(mail.content).hexdigest()
        lines.append(f"{mail.date} {mail.message_id} {digest} {mail.patch_id}\n")
    assert sorted(lines) == sorted(
        (shared_data / "jailhouse" / "patchwork.1").read_text().splitlines(keepends=True)
    )


def test_real_series_come_back_to_the_byte(rendered: dict[int, bytes], shared_data: Path) -> None:
    """The mails of each real series, joined as Patchwork joins them, are taken apart again."""
    series = defaultdict(list)
    with gzip.open(shared_data / "api" / "patches-jailhouse.json.gz") as file:
        for patch in json.load(file):
            series[patch["series"][0]["id"]].append(rendered[patch["id"]])
    assert len(series) > 400
    for parts in series.values():
        assert split_series(b"\n".join(parts)) == parts

"""Where the mails are in a dumparchive's mbox."""

from __future__ import annotations

import calendar
import hashlib
import io
import os
import random
import re
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsync.imports.archive import ArchiveFault
from patchsync.imports.scan import ScannedMail, scan
from patchsync.patchwork.mbox import FIRST_LINE, MailError, find_patch_id, parse_mail

SHARED_DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)
FIRST = b"From patchwork Mon Apr 29 08:54:45 2019\n"
WHEN = calendar.timegm((2019, 4, 29, 8, 54, 45))


def dumped(number: int, body: bytes = b"Text\n", extra: bytes = b"") -> bytes:
    """A mail as a dumparchive holds it."""
    headers = b"X-Patchwork-Id: %d\nMessage-Id: <%d@example.org>\n" % (number, number)
    return FIRST + headers + extra + b"\n" + body + b"\n"


def scanned(mbox: bytes) -> list[ScannedMail]:
    return list(scan(io.BytesIO(mbox).read))


def in_pieces(mbox: bytes, largest: int, seed: int) -> Callable[[int], bytes]:
    """A `read` that gives fewer bytes than asked for."""
    file, chance = io.BytesIO(mbox), random.Random(seed)
    return lambda n: file.read(min(n, chance.randint(1, largest)))


def beginnings(mbox: bytes) -> Iterator[tuple[int, int]]:
    """Offset and id of each mail, found in all bytes at once and in the plainest way."""
    for first in FIRST_LINE.finditer(mbox):
        near = mbox[first.start() : first.start() + (16 << 10)]
        if first.start() + len(near) < len(mbox):
            near = near[: near.rfind(b"\n")]
        try:
            yield first.start(), find_patch_id(near[len(FIRST) - 1 :].split(b"\n\n")[0])
        except MailError:
            continue


PARTS = st.sampled_from(
    [
        FIRST,
        FIRST.replace(b"29", b"31"),
        FIRST[:-1],
        b"From patchwork ",
        b"X-Patchwork-Id: 8\n",
        b"x-patchwork-id:\n 9\n",
        b"X-Patchwork-Id: nine\n",
        b"Message-Id: <8@example.org>\n",
        b"\n",
        b"\n\n",
        b"Text",
        dumped(3),
        b"a" * (16 << 10) + b"\n",
        b"b\n" * (8 << 10),
    ]
)


@given(st.lists(PARTS, max_size=12), st.sampled_from([1, 2, 7, 50, 5000, 1 << 20]), st.integers())
def test_pieces_make_no_difference(parts: list[bytes], largest: int, seed: int) -> None:
    """Whatever the chunks, the mails are those that a search in all bytes finds, without a gap."""
    mbox = dumped(1) + b"".join(parts)
    # A mbox of many KiB byte by byte would take its time.
    largest = max(largest, len(mbox) // 500)
    mails = list(scan(in_pieces(mbox, largest, seed)))
    assert [(mail.start, mail.patch_id) for mail in mails] == list(beginnings(mbox))
    contents = [mbox[mail.start : mail.start + mail.length] for mail in mails]
    assert b"".join(contents) == mbox
    for mail, content in zip(mails, contents, strict=True):
        assert (mail.fault is None) == (readable(content[:-1]) and content.endswith(b"\n"))
        if mail.fault is None:
            same = parse_mail(content[:-1])
            said = (mail.patch_id, mail.message_id, mail.date)
            assert said == (same.patch_id, same.message_id, same.date)
            assert time.strftime("%Y/%m/%d", time.gmtime(mail.seconds)) == mail.date


def readable(rendered: bytes) -> bool:
    try:
        parse_mail(rendered)
    except MailError:
        return False
    return True


def test_what_is_found_of_a_mail() -> None:
    """Where it is, its newline included, and what it says of itself."""
    assert scanned(dumped(7) + dumped(8, b"")) == [
        ScannedMail(
            start=start,
            length=len(mail),
            patch_id=number,
            seconds=WHEN,
            message_id=f"<{number}@example.org>",
            date="2019/04/29",
            fault=None,
        )
        for start, number, mail in [(0, 7, dumped(7)), (len(dumped(7)), 8, dumped(8, b""))]
    ]


def test_a_from_line_in_a_body_parts_nothing() -> None:
    """Only Patchwork's whole first line with a usable id in the headers after it begins a mail."""
    bodies = [
        b"From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001\nX: y\n\n+\n",
        FIRST + b"\nX-Patchwork-Id: 3\n",
        FIRST + b"X-Patchwork-Id: three\n\n",
        FIRST + b"X-Patchwork-Id: 9999999999999999999\n\n",
        FIRST + b"X: " + b"y" * (16 << 10) + b"\nX-Patchwork-Id: 3\n\n",
        FIRST[:-1] + b"\r\nX-Patchwork-Id: 3\n\n",
        b" " + FIRST + b"X-Patchwork-Id: 3\n\n",
        b"From patchwork with love\nX-Patchwork-Id: 3\n\n",
    ]
    mbox = b"".join(dumped(number, body) for number, body in enumerate(bodies, 1))
    assert [mail.patch_id for mail in scanned(mbox)] == list(range(1, len(bodies) + 1))


@pytest.mark.parametrize("largest", [1000, 1 << 20])
def test_an_id_is_looked_for_in_16_kib(largest: int) -> None:
    """Its line counts when it is there as a whole: an id that is cut off would be another one."""
    for pad in range((16 << 10) - 90, (16 << 10) + 5):
        long = b"X: " + b"y" * pad + b"\n"
        imitated = FIRST + long + b"X-Patchwork-Id: 1234\n\n"
        for mbox in (dumped(7, b"Text\n" + imitated), dumped(7, b"", extra=long) + dumped(8)):
            mails = list(scan(in_pieces(mbox, largest, pad)))
            assert [(mail.start, mail.patch_id) for mail in mails] == list(beginnings(mbox))
            assert {mail.patch_id for mail in mails} <= {7, 8, 1234}
            assert all(mail.fault is None or mail.patch_id == 1234 for mail in mails)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"Apr 29", b"Apr 31", "no date"),
        (b"Message-Id: <7@example.org>\n", b"", "no Message-Id"),
        (b"<7@example.org>", b"=?nonsense?q?x?=", "cannot be decoded"),
        (b"<7@example.org>", b"=?utf-7?q?<+2AA-@x>?=", "cannot be decoded"),
        (b"<7@example.org>", b"=?" + b"x" * 3999 + b"?q?x?=", "cannot be decoded"),
        (b"\n\nText\n\n", b"\n\n", "no empty line"),
        (b"\n\nText\n\n", b"\nX: " + b"y" * (1 << 20) + b"\n\nText\n\n", "longer than 1048576"),
    ],
)
def test_a_mail_at_fault_is_told_of(old: bytes, new: bytes, why: str) -> None:
    """It keeps its bytes and its id, has a reason, and the mails around it are whole."""
    mbox = dumped(6) + dumped(7).replace(old, new) + dumped(8)
    before, mail, after = scanned(mbox)
    assert (before.fault, after.fault) == (None, None)
    assert (mail.patch_id, mail.message_id) == (7, None)
    assert mail.seconds == (0 if b"31" in new else WHEN)
    assert re.search(why, mail.fault or "")
    assert len(mail.fault or "") <= 300


def test_an_mbox_that_is_cut_short_is_told_of() -> None:
    """The dump ends each mail with a newline: the last one is not whole without it."""
    last = scanned(dumped(7) + dumped(8)[:-2])[-1]
    assert "cut short" in (last.fault or "")


@pytest.mark.parametrize(
    "mbox",
    [
        dumped(7).replace(b"\n", b"\r\n"),
        b"\n" + dumped(7),
        b"From me@example.org Mon Apr 29 08:54:45 2019\nSubject: x\n\n" + dumped(7),
        FIRST + b"Subject: no id\n\n" + dumped(7),
    ],
)
def test_what_is_no_mbox_of_patchwork_is_refused(mbox: bytes) -> None:
    """Nothing is passed over silently at the beginning."""
    with pytest.raises(ArchiveFault, match="mbox does not begin with"):
        next(scan(io.BytesIO(mbox).read, name="x.mbox"))


def test_an_empty_mbox_holds_nothing() -> None:
    """A project without patches is no fault."""
    assert scanned(b"") == []


def test_a_body_full_of_beginnings_takes_no_time() -> None:
    """Each byte is searched a few times, however many first lines are before an id."""
    lines = FIRST * 100_000
    assert len(scanned(dumped(1, lines))) == 1


def test_memory_stays_flat_in_a_huge_mail() -> None:
    """A mail of 200 MB is passed through, not held."""
    chunk = b"+ a line of a patch that somebody sent\n" * 2000
    pieces = iter([dumped(1), dumped(2), *[chunk] * (200_000_000 // len(chunk)), b"\n", dumped(3)])
    tracemalloc.start()
    try:
        mails = list(scan(lambda n: next(pieces, b"")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [mail.patch_id for mail in mails] == [1, 2, 3]
    assert mails[1].length > 199_000_000
    assert peak < 8 << 20


def test_real_mails_give_the_real_index() -> None:
    """Date, message-id, md5 and id of 1,535 mails are those that the store must have."""
    folder = SHARED_DATA / "jailhouse"
    if not folder.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}; set PATCHSYNC_SHARED_DATA")
    with tarfile.open(folder / "dumparchive.tar.gz") as tar:
        member = tar.extractfile("jailhouse.mbox")
        assert member is not None
        mbox = member.read()
    lines = []
    for mail in scanned(mbox):
        date = time.strftime("%Y/%m/%d", time.gmtime(mail.seconds))
        md5 = hashlib.md5(mbox[mail.start : mail.start + mail.length]).hexdigest()
        lines.append(f"{date} {mail.message_id} {md5} {mail.patch_id}\n")
    assert len(lines) == 1535
    assert set(lines) == set((folder / "patchwork.1").read_text().splitlines(keepends=True))

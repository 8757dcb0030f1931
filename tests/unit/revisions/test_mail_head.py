"""What is read of a mail's head and diff: as mails are, and as nobody should write them."""

from __future__ import annotations

import base64
import time

import pytest
from catalog_fakes import BEGAN, mail, name

from patchsync.revisions.mail_head import (
    LONGEST_FILES,
    LONGEST_HEADER,
    LONGEST_MAIL,
    LONGEST_NAME,
    MOST_REFERENCES,
    MailHead,
    read_head,
)
from patchsync.revisions.subject import read_subject
from tests.support.hostile_mail import hostile_mails


def test_a_head_is_decoded() -> None:
    """Subject, author, date, thread; what is missing is empty."""
    raw = mail("[PATCH]\n =?utf-8?q?f=C3=BCr?=\n  all", at=7, answers=["a", "b", "c"])
    assert read_head(raw) == MailHead(
        subject="[PATCH] f\u00fcr all",
        author_name="A",
        author_address="a@example.org",
        date=BEGAN + 7,
        references=(name("c"), name("b"), name("a")),
        files=("a.c",),
    )
    assert read_head(b"") == read_head(b"\n\n") == MailHead()


@pytest.mark.parametrize(
    ("header", "author"),
    [
        ("From: Ann Other <Ann@Example.org>", ("Ann Other", "ann@example.org")),
        ('From: "Other, Ann" <ann@example.org>', ("Other, Ann", "ann@example.org")),
        ("From: ann@example.org (Ann Other)", ("Ann Other", "ann@example.org")),
        ("From: ann at example.org (Ann Other)", ("Ann Other", "ann@example.org")),
        ("From: ann@example.org", ("", "ann@example.org")),
        ("From: =?utf-8?q?Ann_=C3=96?= <ann@example.org>", ("Ann \u00d6", "ann@example.org")),
        ("From: \u00d6 <ann@example.org>", ("\u00d6", "ann@example.org")),
        # A list that puts itself into From; Patchwork says who it was.
        ("X-Patchwork-Submitter: Ann <ann@a.b>\nFrom: Ann via L <l@a.b>", ("Ann", "ann@a.b")),
        ("From:", ("", "")),
        ("From: =?nonsense?q?a?= <a@b>", ("=?nonsense?q?a?=", "a@b")),
    ],
)
def test_the_author_is_found(header: str, author: tuple[str, str]) -> None:
    """However the header is written."""
    head = read_head(f"{header}\n\n".encode())
    assert (head.author_name, head.author_address) == author


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 13 Sep 2020 12:26:40 +0000", 1_600_000_000),
        ("Sun, 13 Sep 2020 14:26:40 +0200 (CEST)", 1_600_000_000),
        ("Wed, 4 Jun 207777777777777777777714 17:50:46 0", None),
        (", 11 Sep 2016 23:22:904070804030804 +0100", None),
        ("Sun, 13 Sep 1960 12:26:40 +0000", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_date_is_one_or_none(date: str, seconds: int | None) -> None:
    """Also those on which Patchwork stumbled."""
    assert read_head(f"Date: {date}\n\n".encode()).date == seconds


@pytest.mark.parametrize(
    ("diff", "files"),
    [
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n", ["x"]),
        ("--- /dev/null\n+++ b/new\n", ["new"]),
        ("--- a/old\n+++ /dev/null\n", ["old"]),
        ("diff --git a/a/x b/b/x\nrename from a/x\nrename to b/x\n", ["a/x", "b/x"]),
        ("--- linux.orig/a/x\t2020\n+++ linux/a/x\t2020\n", ["a/x"]),
        ("--- a x/y z\n+++ a x/y z\n", ["a x/y z"]),
        ("diff --git x y\n--- x\n+++ y\n", ["x", "y"]),
        ('--- "a/\\303\\274.c"\n+++ "b/\\303\\274.c"\n', ["\u00fc.c"]),
        ("--- a/\u202ex\n+++ b/\u202ex\n", ["\ufffdx"]),
        ("--- a/x\r\n+++ b/x\r\n", ["x"]),
        ("a list:\n--- \n+++ \n---\n", []),
    ],
)
def test_the_files_are_those_of_the_diff(diff: str, files: list[str]) -> None:
    """Without the folders that diff puts before them."""
    assert list(read_head(f"Subject: a\n\ntext\n\n{diff}".encode()).files) == files


def test_a_body_is_decoded() -> None:
    """In base64, quoted-printable, or parts."""
    diff = b"--- a/x\n+++ b/x\n"
    encoded = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(diff)
    quoted = b"Content-Transfer-Encoding: quoted-printable\n\n--- a/=\nx\n+++ b/x\n"
    parts = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n\n" + diff + b"--b--\n"
    for raw in (encoded, quoted, parts, parts.replace(b"\n", b"\r\n")):
        assert read_head(raw).files == ("x",)


def test_what_is_hostile_is_bounded() -> None:
    """Whatever a mail says, it raises nothing, and can be stored."""
    for kind, raw in hostile_mails(20_000):
        head = read_head(raw)
        assert len(head.subject) <= LONGEST_HEADER, kind
        assert max(len(head.author_name), len(head.author_address)) <= LONGEST_NAME, kind
        assert len(head.references) <= MOST_REFERENCES, kind
        assert sum(map(len, head.files)) <= LONGEST_FILES + 2 * LONGEST_HEADER, kind
        for text in (head.subject, head.author_name, head.author_address, *head.files):
            assert "\0" not in text and "\n" not in text, kind
            text.encode()
        read_subject(head.subject)


@pytest.mark.parametrize("unit", ["--- ", "diff --git ", "rename to ", "change-id: ", "\n--- a"])
def test_a_long_body_costs_no_more_than_its_length(unit: str) -> None:
    """A million bytes on a line take milliseconds; tried again at each, they would take hours."""
    begin = time.process_time()
    read_head(b"Subject: a\n\n" + unit.encode() * (LONGEST_MAIL // len(unit)))
    assert time.process_time() - begin < 10


def test_no_more_than_a_part_of_a_large_mail_is_read() -> None:
    """A diff behind it is not looked at."""
    head = b"Subject: a\n\n"
    for size, files in ((LONGEST_MAIL - 100, ("x",)), (LONGEST_MAIL, ())):
        assert read_head(head + b" " * size + b"\n--- a/x\n+++ b/x\n").files == files

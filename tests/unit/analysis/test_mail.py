"""Mails, read as PaStA reads them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patchsync.analysis.bounded_email import read_mail
from patchsync.analysis.groups import read_groups
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import FileDiff, FileKey, Hunk, NotAPatch, Patch

DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)
REAL = DATA / "jailhouse"
# Of what PaStA (commit 4147033) made of the 1,535 real mails, as `telling` puts it.
PASTA_READS = "b05cbcf97f776bc50ad3660aca246d732f55a2b9c8430028d02fe1b6f79b2ba7"

DATE = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
DIFF = "diff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@ f\n-old\n+new\n-- \n2.1\n"
FILES: dict[FileKey, FileDiff] = {("x.c",): FileDiff(0, {"f": Hunk(("old",), ("new",))})}
BODY = f"Why.\n\nSigned-off-by: A <a@example.org>\n---\n x.c | 2 +-\n\n{DIFF}"


def mail(
    body: str | bytes = BODY,
    *headers: str,
    subject: str = "[PATCH 1/2] One",
    date: str = "Thu, 2 Jan 2020 03:04:05 +0100",
) -> bytes:
    """The bytes of a mail; `headers` come before the usual ones."""
    head = [*headers, f"Subject: {subject}", "From: A <a@example.org>", f"Date: {date}"]
    encoded = body if isinstance(body, bytes) else body.encode()
    return "\n".join(head).encode("latin-1") + b"\n\n" + encoded


def multipart(*parts: str) -> bytes:
    """The bytes of a mail with these parts, each with its headers."""
    inside = "".join(f"--cut\n{part}\n" for part in parts)
    return mail(f"{inside}--cut--\n", 'Content-Type: multipart/mixed; boundary="cut"')


def message_of(raw: bytes) -> tuple[str, ...]:
    """The message of the patch in a mail."""
    return parse_mail([raw]).message


def test_a_patch() -> None:
    """Subject without its prefix, message without tags and remarks, the diff, the author's date."""
    assert parse_mail([mail()]) == Patch(
        message=("One", "Why."), author_date=DATE, is_revert=False, files=FILES, lines=2
    )


def test_a_revert_that_was_picked() -> None:
    """The message tells both."""
    patch = parse_mail([mail(f"commit abcdef0 upstream\n{DIFF}", subject="Revert it")])
    assert (patch.is_revert, patch.picked) == (True, ("abcdef0",))


@pytest.mark.parametrize(
    ("subject", "first"),
    [
        ("One", "One"),
        ("[PATCH]: One", "One"),
        ("[a] [b] One", "[b] One"),
        ("[PATCH]  One", " One"),
        ("Re: [PATCH] One", "Re: [PATCH] One"),
        ("=?utf-8?q?=5BPATCH=5D_One?=", "=?utf-8?q?=5BPATCH=5D_One?="),
        ("[PATCH] One\n two", "One"),
        ("[PATCH\n 1/2] One", "[PATCH\n 1/2] One"),
        ("One\n two", "One\n two"),
        ("[PATCH]", "Why."),
    ],
)
def test_subjects(subject: str, first: str) -> None:
    """As the raw header stands; a prefix takes what is folded after it along."""
    assert message_of(mail(subject=subject))[0] == first


@pytest.mark.parametrize(
    ("date", "read"),
    [
        ("Thu, 2 Jan 2020 03:04:05 +0100", DATE),
        ("Thu, 2 Jan 2020 03:04:05 -0000", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2 Jan 2020 03:04:05 +9999", datetime(1970, 1, 1, tzinfo=UTC)),
        ("\xff", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_dates(date: str, read: datetime) -> None:
    """Without a zone it is UTC; what cannot be read is the epoch."""
    found = parse_mail([mail(date=date)]).author_date
    assert (found, found.utcoffset()) == (read, read.utcoffset())


@pytest.mark.parametrize(
    "body",
    [
        f"Why.\n{DIFF}",
        f"--------\nWhy.\n{DIFF}",
        f"Why.\n--- \nremark\n---\nmore\n{DIFF}",
        "Why.\n" + DIFF.partition("\n")[2],
        "Why.\niNDEX: x.c\n" + DIFF.partition("\n")[2],
        f"Why.\n{DIFF}".replace("\n", "\r\n"),
    ],
)
def test_where_message_and_diff_part(body: str) -> None:
    """At `---` the message ends; the diff begins with diff, index, or a file's own header."""
    patch = parse_mail([mail(body)])
    assert (patch.message, patch.files) == (("One", "Why."), FILES)


def test_lines_end_where_unicode_says() -> None:
    """But not at a form feed, which source code has within it."""
    patch = parse_mail(
        [mail(f"Why\fso.\x0bMore\u2028even.\n{DIFF}", "Content-Type: text/plain; charset=utf-8")]
    )
    assert patch.message == ("One", "Why so.", "More", "even.")


@pytest.mark.parametrize(
    ("charset", "read"),
    [("utf-8", "né"), ("iso-8859-1", "nÃ©"), ("utf-16", "n"), ("no-such", "n"), (None, "n")],
)
def test_charsets(charset: str | None, read: str) -> None:
    """The declared one if the library's mail charsets have it, else ASCII; faults are left out."""
    headers = [f"Content-Type: text/plain; charset={charset}"] if charset else []
    assert message_of(mail(f"né\n{DIFF}", *headers))[1] == read


def test_a_body_that_is_encoded() -> None:
    """Base64 is decoded."""
    raw = mail(base64.encodebytes(BODY.encode()), "Content-Transfer-Encoding: base64")
    assert message_of(raw) == ("One", "Why.")


def test_an_attached_mail_is_the_mail() -> None:
    """Its subject and body count, the outer mail's date does; what is no mail is passed over."""
    date = "Fri, 3 Jan 2020 00:00:00 +0000"
    inner = mail(BODY, subject="Two", date=date).decode()
    patch = parse_mail([multipart("\nHello.", "Content-Type: text/x-patch\n\n" + inner)])
    assert (patch.message, patch.author_date) == (("Two", "Why."), DATE)


def test_an_attached_mail_that_cannot_be_decoded_is_passed_over() -> None:
    """The next one counts; one that is damaged is no mail either."""
    broken = "Content-Type: text/plain; charset=viscii\nFrom: b\n\nx"
    inner = mail(BODY, subject="Two").decode()
    damaged = f"From: b\nContent-Type: multipart/mixed\n\n{BODY}"
    raw = multipart(f"\n{broken}", f"\n{damaged}", f"\n{inner}")
    assert message_of(raw) == ("Two", "Why.")


@pytest.mark.parametrize("first", ["diff --git a/x.c b/x.c\n", "From: b\nIndex: x.c\n", ""])
def test_parts_with_a_diff_go_behind_the_others(first: str) -> None:
    """Wherever they stand; a diff begins the line, or its part."""
    diff = first + DIFF.partition("\n")[2]
    patch = parse_mail([multipart(f"\n{diff}", "\nWhy.", "\n More.")])
    assert (patch.message, patch.files) == (("One", "Why.", "More."), FILES)


def test_the_first_part_that_may_be_a_patch() -> None:
    """Where none of several begins a diff, or there is but one."""
    assert message_of(multipart(f"\n\nWhy.\n{DIFF}")) == ("One", "Why.")
    raw = multipart("\nHello.", f"\n\nFrom: b\nWhy.\ndiff -u\n{DIFF.partition(chr(10))[2]}")
    assert message_of(raw) == ("One", "Why.")


def test_an_empty_part_is_not_looked_at() -> None:
    """Not even at a charset that is beyond reading."""
    empty = "Content-Type: text/plain; charset*=a\0b''1\n"
    assert message_of(multipart(empty, f"\n\n{BODY}")) == ("One", "Why.")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (mail("Hello.\n"), "no diff"),
        (mail(""), "is empty"),
        (mail("x", "Content-Type: message/rfc822"), "no diff|no part"),
        (multipart("\nHello.", "\nWorld."), "no part of the mail"),
        (multipart("\nIndex: x.c\n--- a/x.c\n+++ b/x.c\n"), "no part of the mail"),
        (mail(BODY, subject="\xff"), "no subject"),
        (mail().replace(b"Subject", b"Object"), "no subject"),
        (mail(BODY, "Content-Type: text/plain; charset=viscii"), "LookupError: unknown encoding"),
        (mail(BODY).replace(b"@@ -1 ", b"@@ -2,9 "), "a hunk is not as long"),
        (mail(BODY, "From: " + "(" * 2000 + ")" * 2000 + " a@x"), "RecursionError"),
    ],
)
def test_no_patch(raw: bytes, reason: str) -> None:
    """Whatever PaStA stumbles over makes a mail invalid, and the reason is said."""
    with pytest.raises(NotAPatch, match=reason):
        parse_mail([raw])


def test_of_several_mails_the_first_patch_counts() -> None:
    """One message-id may have several; without a patch the last one says why."""
    hello, one, two = mail("Hello."), mail(), mail(subject="Two")
    assert parse_mail([hello, one, two]).message == ("One", "Why.")
    with pytest.raises(NotAPatch, match="is empty"):
        parse_mail([hello, mail("")])
    with pytest.raises(NotAPatch, match="no mail"):
        parse_mail([])


def telling(message_id: str, raw: bytes) -> str:
    """All that is read of a mail; of an invalid one its message-id alone."""
    try:
        patch = parse_mail([raw])
    except NotAPatch:
        return repr((message_id,))
    files = [
        (key, similarity, [(heading, *hunk) for heading, hunk in hunks.items()])
        for key, (similarity, hunks) in patch.files.items()
    ]
    date = patch.author_date.isoformat()
    return repr((message_id, patch.message, date, patch.is_revert, files, patch.lines))


def test_a_real_list() -> None:
    """Each of 1,535 real mails is read as PaStA read it, and the same two are invalid."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here; set PATCHSYNC_SHARED_DATA to the folder of real mail")
    with tarfile.open(REAL / "dumparchive.tar.gz") as tar:
        mbox = tar.extractfile("jailhouse.mbox")
        assert mbox is not None
        raws = re.split(rb"(?<=\n)(?=From patchwork )", mbox.read())
    by_md5 = {hashlib.md5(raw).hexdigest(): raw for raw in raws}
    index = [line.split(" ") for line in (REAL / "patchwork.1").read_text().splitlines()]
    told = {message_id: telling(message_id, by_md5[md5]) for _, message_id, md5, _ in index}

    grouped = {each for group in read_groups(REAL / "patch-groups") for each in group.message_ids}
    invalid = {message_id for message_id, text in told.items() if text == repr((message_id,))}
    assert (len(told), len(invalid)) == (1535, 2)
    assert told.keys() - invalid == grouped
    lines = "".join(f"{told[message_id]}\n" for message_id in sorted(told))
    assert hashlib.sha256(lines.encode()).hexdigest() == PASTA_READS


ENDS = ("\n", "\r\n", "\r", "\n\n", "")
PIECES = (
    *(
        "From: A <a@example.org>",
        "Subject: x",
        " folded",
        "From x",
        "no header",
        "--b",
        "--b--",
        ":",
    ),
    *("Content-Type: text/plain; charset=utf-8", "Content-Type: multipart/mixed; boundary=b"),
    *("Content-Type: message/rfc822", "Content-Type: nonsense", "Content-Type: text/x", "f\udcfcr"),
    *("Content-Transfer-Encoding: quoted-printable", "a =3D", "\x0c", "-" * 900, ":", ""),
)


def taken_apart(mail: Message) -> object:
    """All that `email` says of a mail."""
    payload = mail.get_payload()
    parts = payload
    if isinstance(payload, list):
        parts = [taken_apart(part) for part in payload if isinstance(part, Message)]
    raw = mail.get_payload(decode=True)
    return mail.get_unixfrom(), mail.items(), parts, raw, list(map(type, mail.defects))


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS))))
@example([("Subject: x", "\r\n"), ("", "\r\n"), ("--b", "\n\n"), ("a", "\n")])
@example([("Content-Type: message/rfc822", "\n\n"), ("Subject: x", "\n\n"), ("a", "\n")])
@example([("Subject: x", "\n"), ("no header", "\n\n"), ("a =3D", "\n")])
@settings(max_examples=300)
def test_a_mail_is_taken_apart_as_by_pythons_library(lines: Sequence[tuple[str, str]]) -> None:
    """Which walks through the lines of each body."""
    raw = "".join(map("".join, lines)).encode("ascii", "surrogateescape")
    assert taken_apart(read_mail(raw)) == taken_apart(message_from_bytes(raw))


def test_a_body_is_not_decoded_to_see_that_it_is_there() -> None:
    """That takes quadratic time in punycode, and may fail where nobody asks for the text."""
    raw = b"Subject: x\r\nContent-Type: text/plain; charset=punycode\r\n\r\na\x85:a\n\nb"
    assert read_mail(raw).get_payload(decode=True) == b"a\x85:a\n\nb"

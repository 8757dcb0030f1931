"""Mails that are made to keep whoever reads them busy, or to fill its memory, do neither."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from patchsync.analysis import bounded_email
from patchsync.analysis.mail import parse_mail as parse_patch
from patchsync.analysis.patch import NotAPatch
from patchsync.imports.scan import scan
from patchsync.patchwork import mbox
from patchsync.patchwork.mbox import MailError
from patchsync.push.comment.mail import subject_of
from tests.support.hostile_mail import DIFF, FIRST_LINES, hostile_mails

# Of the processor, for 200 kB. The slowest takes a fifth of a second; those that took quadratic
# time took ten to a hundred.
SECONDS = 5.0


def identify(mail: bytes) -> None:
    """What fetch and index do with a mail."""
    with suppress(MailError):
        mbox.parse_mail(mail)


def read_patch(mail: bytes) -> None:
    """What an analysis does with it."""
    with suppress(NotAPatch):
        parse_patch([mail])


def scan_mbox(mail: bytes) -> None:
    """What an import does with it."""
    list(scan(io.BytesIO(mail).read))


def take_series_apart(mail: bytes) -> None:
    """What fetch does with one in a series."""
    mbox.certain(mail, {(1, "<a@b>")})


READERS = (identify, read_patch, scan_mbox, take_series_apart, subject_of)


def slow(
    size: int, wanted: Callable[[str], bool], seconds: float = SECONDS
) -> dict[tuple[str, str], float]:
    """Which readers take longer than `seconds` for which kinds of mails of `size` bytes."""
    took = {}
    for kind, mail in hostile_mails(size):
        for reader in READERS if wanted(kind) else ():
            begun = time.process_time()
            reader(mail)
            took[reader.__name__, kind] = time.process_time() - begun
    assert took
    return {what: spent for what, spent in took.items() if spent > seconds}


def test_a_mail_is_read_in_time() -> None:
    """What took a second to minutes: 200 kB of each kind take a fraction of one."""
    telling = ("Message-Id: '<", "Message-Id: '=?", "Subject: '=?", "text/plain; a=", "punycode")
    assert slow(200_000, lambda kind: any(word in kind for word in telling)) == {}


@pytest.mark.long
def test_any_mail_is_read_in_time() -> None:
    """Seven hundred kinds of a megabyte, by all who read mails."""
    assert slow(1_000_000, lambda _: True, seconds=10.0) == {}


def test_the_mails_are_of_many_kinds_and_of_the_size_asked_for() -> None:
    """None of them is empty by mistake."""
    mails = dict(hostile_mails(20_000))
    assert len(mails) > 700
    sizes = {kind: len(mail) for kind, mail in mails.items() if "deep" not in kind}
    assert {kind for kind, size in sizes.items() if not 8_000 < size < 50_000} == set()


def mail(headers: str, body: bytes = b"Why.\n" + DIFF) -> bytes:
    """A mail as Patchwork renders it."""
    known = "Message-Id: <a@b>\nSubject: [PATCH] a\nDate: Sat, 21 Nov 2026 00:00:00 +0000\n"
    return FIRST_LINES + (known + headers).encode() + b"\n" + body


def nested(depth: int) -> str:
    """The headers of as many parts, one in the other."""
    parts = "--b{0}\nContent-Type: multipart/mixed; boundary=b{1}\n\n"
    inner = "".join(parts.format(n, n + 1) for n in range(1, depth))
    return f"From: a\nContent-Type: multipart/mixed; boundary=b1\n\n{inner}--b{depth}\n"


LONG = "a" * (bounded_email.LONGEST_HEADER + 1)
TOO_MUCH = {
    "longer than 4096 characters": f"From: {LONG}\n",
    "its Date is longer": f"Date: {LONG}\n",
    "its Content-Type is longer": f"Content-Type: text/plain; a={LONG}\n",
    "its content-transfer-ENCODING is": f"content-transfer-ENCODING: 7bit{LONG}\n",
    "Content-Types have over": f"Content-Type: text/plain; a={LONG[:4000]}\n" * 10,
    "more than 10000 headers": "a:\n" * bounded_email.MOST_HEADERS,
    "more than 1000 parts": "Content-Type: multipart/mixed; boundary=b\n\n"
    + "--b\n\na\n" * bounded_email.MOST_PARTS,
    "more than 8 deep": nested(bounded_email.DEEPEST_PART + 1),
}


@pytest.mark.parametrize("reason", TOO_MUCH)
def test_a_mail_that_has_too_much_is_no_patch(reason: str) -> None:
    """And why is told; the store has it as it came."""
    with pytest.raises(NotAPatch, match=reason):
        parse_patch([mail(TOO_MUCH[reason])])


def test_an_attached_mail_counts_as_its_mails() -> None:
    """Else as many attached mails as there are parts would each have as much once more."""
    outer = bounded_email.read_mail(b"From: a\n\nwords\n")
    attached = f"From: b\nContent-Type: text/plain; a={LONG[:4000]}\n\nwords\n"
    for _ in range(8):
        assert outer.read_attached(attached)["From"] == "b"
    with pytest.raises(ValueError, match="its Content-Types have over 32768 characters"):
        outer.read_attached(attached)


def test_as_much_as_people_send_is_a_patch() -> None:
    """A References of a whole thread, a hundred parts and a long name of a file."""
    references = " ".join(f"<{n}@example.org>" for n in range(10_000))
    head = f"From: a <a@b>\nReferences: {references}\nContent-Type: multipart/mixed; boundary=b\n\n"
    name = "".join(f' name*{n}="{"a" * 60}";' for n in range(20))
    part = f"--b\nContent-Type: text/plain;{name}\n\nwords\n"
    parts = part + "--b\nContent-Type: text/plain; charset=utf-8\n\nwords\n" * 100
    body = f"{parts}--b\n\n{DIFF.decode()}--b--\n"
    assert parse_patch([mail(head + body, b"")]).lines == 2
    with pytest.raises(NotAPatch, match="no part of the mail looks like a patch"):
        parse_patch([mail(nested(bounded_email.DEEPEST_PART))])  # PaStA reads the first level.


def test_a_message_id_of_brackets_is_found_as_before() -> None:
    """The first that is closed and not empty, however many were opened before it."""
    found = {
        "<" * 10_000: "<" * 255,
        "<" * 300 + "a>": "<" * 255,
        "< <a@b> >": "< <a@b>",
        "<><a@b>": "<><a@b>"[2:],
        "a@b>": "a@b>",
        "> <a@b> <c": "<a@b>",
        "> <c": "> <c",
    }
    for written, message_id in found.items():
        headers = f"\nMessage-Id: {written}".encode()
        assert mbox.find_message_id(headers) == message_id, written[:30]


def test_a_message_id_that_is_encoded_has_an_end() -> None:
    """As long as Patchwork keeps it is read, whatever letters it has; longer it cannot be."""
    word = "=?utf-8?q?=F0=9F=90=A7=F0=9F=90=A7=F0=9F=90=A7=F0=9F=90=A7=F0=9F=90=A7?=\n "
    assert mbox.find_message_id(f"\nMessage-Id: {word * 45}".encode()) == "\N{PENGUIN}" * 225
    with pytest.raises(MailError, match="its Message-Id is encoded and longer than 4096"):
        mbox.find_message_id(b"\nMessage-Id: " + b"=?utf-8?q?a" * 1000)

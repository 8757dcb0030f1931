"""From the bytes of a mail to what PaStA compares of it."""

from __future__ import annotations

import re
from codecs import lookup
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.charset import CHARSETS
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from patchsync.analysis.bounded_email import BoundedMessage, read_mail
from patchsync.analysis.diff import FilterdiffTooSlow, NoFilterdiff, read_diff
from patchsync.analysis.patch import NotAPatch, Patch, picked_from, read_message

_EPOCH = datetime(1970, 1, 1)
_PREFIX = re.compile(r"\[.*?\]:? ?(.*)")
_DIFF_BEGINS = re.compile(r"diff |--- \S+/.|[Ii][Nn][Dd][Ee][Xx]: ")
_ANNOTATION_BEGINS = re.compile(r"---\s*$")
_DIFF_PART = re.compile(r"\A---.*\n\+\+\+.*\n|^(?:diff --|Index: )", re.MULTILINE)

# They say nothing of the mail: another time, or on another machine, it can be read.
_UNRELATED_TO_MAIL = (OSError, NoFilterdiff)
# They say what it takes to read it, not whether it is a patch.
_TOO_MUCH = (MemoryError, FilterdiffTooSlow)


class NotReadHere(NotAPatch):
    """It could not be read here and now: a program is not installed."""


def parse_mail(raws: Sequence[bytes]) -> Patch:
    """The patch in a mail; of several under one message-id, in the first that holds one.

    A date that the standard library cannot read is 1970-01-01 UTC; PaStA guesses, by dateparser.

    Raises:
        NotAPatch: none holds one; the reason is the last one's.
        MemoryError, FilterdiffTooSlow: it takes too much to read one.
    """
    if not raws:
        raise NotAPatch("there is no mail")
    try:
        # All are read before one is looked into: one that cannot be read spoils the others.
        return _first_patch([read_mail(raw) for raw in raws])
    except _TOO_MUCH:
        raise
    except _UNRELATED_TO_MAIL as error:
        raise NotReadHere(str(error)) from error
    except Exception as error:  # To PaStA a mail is invalid whatever it stumbles over.
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise NotAPatch(f"{kind}{error}") from error


def _first_patch(mails: list[BoundedMessage]) -> Patch:
    *others, last = mails
    for mail in others:
        try:
            return _patch(mail)
        except (*_TOO_MUCH, *_UNRELATED_TO_MAIL):
            raise
        except Exception:  # noqa: S112 - the next one may hold a patch
            continue
    return _patch(last)


def _patch(outer: BoundedMessage) -> Patch:
    mail, text = _mail_and_text(outer)
    # Nothing here needs the author, but PaStA reads it, and a name may be beyond reading.
    parseaddr(str(mail["From"]))
    body, diff = _body_and_diff(text)
    subject = mail["Subject"]
    if not isinstance(subject, str):
        raise ValueError("the mail has no subject, or not one in ASCII")
    if prefix := _PREFIX.match(subject):
        subject = prefix[1]
    message, is_revert = read_message([subject, *body])
    files, lines = read_diff(diff)
    return Patch(
        message=message,
        author_date=_date(outer),
        is_revert=is_revert,
        files=files,
        lines=lines,
        picked=picked_from(message),
    )


def _date(mail: BoundedMessage) -> datetime:
    """The date of the header; the library raises what not for one that is no date."""
    date = _EPOCH
    with suppress(Exception):
        date = parsedate_to_datetime(mail["Date"])
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _mail_and_text(mail: BoundedMessage) -> tuple[BoundedMessage, str]:
    """Whose headers count, and the text that holds message and diff."""
    body = _decoded(mail) or _undecoded(mail)
    if isinstance(body, str):
        return mail, body
    texts = list(filter(None, map(_decoded, body)))
    return _attached(mail, texts) or (mail, _joined(texts))


def _decoded(mail: BoundedMessage) -> str:
    """The body in its charset, without what is not of it; empty for a multipart."""
    body = mail.get_payload(decode=True)
    if not isinstance(body, bytes) or not body:
        return ""
    charset = mail.get_content_charset()
    return body.decode(charset if charset in CHARSETS else "ascii", errors="ignore")


def _undecoded(mail: BoundedMessage) -> Any:
    """The body as it came, in its charset; or the parts of a multipart, a list."""
    with suppress(LookupError):
        if lookup(mail.get_content_charset("ascii")).name == "punycode":
            raise ValueError("the mail is in punycode, which takes quadratic time")
    return mail.get_payload()


def _attached(outer: BoundedMessage, texts: Iterable[str]) -> tuple[BoundedMessage, str] | None:
    """The first text that is a mail of its own, as git format-patch makes them, and its body."""
    for text in texts:
        with suppress(Exception):
            mail = outer.read_attached(text)
            if "From" in mail and not mail.defects:
                return mail, _decoded(mail)
    return None


def _joined(texts: list[str]) -> str:
    """The texts of a multipart as one, those with a diff behind the others."""
    diffs = list(filter(_DIFF_PART.search, texts))
    if diffs and len(texts) > 1:
        others = [text for text in texts if not _DIFF_PART.search(text)]
        return "\n".join([*others, *diffs, "", ""])
    for text in texts:
        if "From: " in text or "diff --" in text:
            return text
    raise ValueError("no part of the mail looks like a patch")


def _body_and_diff(text: str) -> tuple[list[str], list[str]]:
    """The lines of the message and of the diff; what is between them is a remark on the patch."""
    lines = text.replace("\f", " ").splitlines()
    if not lines:
        raise ValueError("the mail is empty")
    if lines[0].startswith("--"):
        del lines[0]
    begin = next((at for at, line in enumerate(lines) if _DIFF_BEGINS.match(line)), None)
    if begin is None:
        raise ValueError("the mail has no diff")
    end = next((at for at in range(begin) if _ANNOTATION_BEGINS.match(lines[at])), begin)
    return lines[:end], lines[begin:]

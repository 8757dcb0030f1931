"""Patchwork's mboxes: reading one mail, and taking a series' mbox apart.

Patchwork renders a mail as `From patchwork <ctime in UTC>`, its own headers, the mail's headers, an
empty line and the body. Nothing in the body is escaped, so a line that begins with `From ` says
nothing: only the whole first line with Patchwork's header after it does.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from patchsync.errors import GiveUp

_DAYS = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
# strptime would read them in the language of the machine.
_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
FIRST_WORDS = b"From patchwork "
FIRST_LINE = re.compile(
    rb"^From patchwork " + _DAYS + rb" (?P<month>" + b"|".join(_MONTHS) + rb") (?P<day>[ 0-9][0-9])"
    rb" (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}) (?P<year>[0-9]{4})$",
    re.MULTILINE,
)
# Headers are searched from the newline before them: with ^ it would take ten times as long.
ID_LINE = re.compile(rb"\nX-Patchwork-Id:", re.IGNORECASE)
# A header's value, with the lines it is folded onto. The first one counts: Patchwork writes its own
# before the mail's, which may hold the same from another Patchwork.
_PATCH_ID = re.compile(rb"\nX-Patchwork-Id:(.*(?:\n[ \t].*)*)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"\nMessage-Id:(.*(?:\n[ \t].*)*)", re.IGNORECASE)
_BRACKETED = re.compile(r"<[^>]+>")
NO_EMPTY_LINE = "no empty line ends its headers"
# As many characters of a message-id as Patchwork keeps.
_MESSAGE_ID_LENGTH = 255
# So many bytes take those, each of four, quoted-printable in encoded words of 75. Decoding more
# takes quadratic time.
_LONGEST_ENCODED = 4096
_EPOCH = datetime.date(1970, 1, 1)


class MailError(GiveUp):
    """The bytes are not a mail as Patchwork renders one; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a mail's first line and headers say of it."""

    patch_id: int
    # As the REST API's `msgid`: unfolded, with its angle brackets.
    message_id: str
    # `YYYY/MM/DD`, Patchwork's date of the patch, UTC.
    date: str


@dataclass(frozen=True, kw_only=True)
class Mail(Head):
    """A mail as the store keeps it."""

    # What a dumparchive holds: the rendered mbox and one newline. The store's md5 is of them.
    content: bytes


def parse_mail(rendered: bytes) -> Mail:
    """The mail in one mbox as the API serves it, read from its header block alone.

    Args:
        rendered: the body of `GET /project/<link_name>/patch/<message-id>/mbox/`.

    Raises:
        MailError: it is not what Patchwork renders.
    """
    end = rendered.find(b"\n\n")
    if end < 0 and FIRST_LINE.match(rendered):
        raise MailError(NO_EMPTY_LINE)
    head = parse_head(rendered[:end])
    return Mail(
        patch_id=head.patch_id,
        message_id=head.message_id,
        date=head.date,
        content=rendered + b"\n",
    )


def parse_head(head: bytes) -> Head:
    """What a mail says of itself before the first empty line, given without that.

    Raises:
        MailError: it is not what Patchwork renders.
    """
    first = FIRST_LINE.match(head)
    if not first:
        raise MailError("its first line is not 'From patchwork <date>'")
    headers = head[first.end() :]
    return Head(
        patch_id=find_patch_id(headers),
        message_id=find_message_id(headers),
        date=date_of(first),
    )


def split_series(body: bytes) -> list[bytes]:
    """The single mboxes in a series' mbox, which joins them by one newline.

    A mail's body may imitate a beginning, headers and all. It is then cut in two here, so whoever
    asks must hold the ids and message-ids of the parts against what the API lists.

    Args:
        body: the body of `GET /series/<id>/mbox/`, or more of such.
    """
    starts = [0, *(start for start in _beginnings(body) if start)]
    ends = [*(start - 1 for start in starts[1:]), len(body)]
    return [body[start:end] for start, end in zip(starts, ends, strict=True)]


def certain(body: bytes, listed: Collection[tuple[int, str]]) -> list[Mail]:
    """Those of the listed mails that a series' mbox holds whole, beyond doubt.

    A part that is not listed may be a mail on another page, or an imitated beginning in the body
    before it: so the mail before it is in doubt. Two parts that claim to be one mail leave none.

    Args:
        body: the body of `GET /series/<id>/mbox/`.
        listed: id and message-id of mails that should be in it.
    """
    mails = [_parsed(part) for part in split_series(body)]
    keys = [(mail.patch_id, mail.message_id) if mail else None for mail in mails]
    ours = [key for key in keys if key in listed]
    if len(ours) > len(set(ours)):
        return []
    ends = [*(key in listed for key in keys[1:]), True]
    return [
        mail
        for mail, key, whole in zip(mails, keys, ends, strict=True)
        if mail and key in listed and whole
    ]


def _parsed(part: bytes) -> Mail | None:
    try:
        return parse_mail(part)
    except MailError:
        return None


def _beginnings(body: bytes) -> Iterator[int]:
    """Where a first line has Patchwork's id in the header block after it."""
    # Both are searched onwards only, so that a body full of first lines does not cost its square.
    empty_line = id_line = -1
    for first in FIRST_LINE.finditer(body):
        if empty_line < first.end():
            empty_line = _or_end(body.find(b"\n\n", first.end()), body)
        if id_line < first.end():
            match = ID_LINE.search(body, first.end())
            id_line = match.start() if match else len(body)
        if id_line < empty_line:
            yield first.start()


def _or_end(position: int, body: bytes) -> int:
    return len(body) if position < 0 else position


def find_patch_id(headers: bytes) -> int:
    """The id that the first X-Patchwork-Id of these headers holds; MailError without one.

    Before each of the headers there is a newline, the first included.
    """
    match = _PATCH_ID.search(headers)
    value = match.group(1).strip() if match else b""
    if not re.fullmatch(rb"[1-9][0-9]{0,17}", value):  # of 64 bits at most
        raise MailError("it has no header X-Patchwork-Id with a number")
    return int(value)


def find_message_id(headers: bytes) -> str:
    """As Patchwork reads it (its `find_message_id`), so that it equals what the API lists.

    Raises MailError without one. Before each of the headers there is a newline.
    """
    match = _MESSAGE_ID.search(headers)
    text = match.group(1).decode("utf-8", "replace") if match else ""
    if "=?" in text:
        # Some mailers encode it like a subject.
        if len(text) > _LONGEST_ENCODED:
            raise MailError(f"its Message-Id is encoded and longer than {_LONGEST_ENCODED} bytes")
        try:
            text = str(make_header(decode_header(text)))
            text.encode()  # Some encodings give characters that nobody can write.
        except (HeaderParseError, LookupError, ValueError) as error:
            raise MailError(f"its Message-Id cannot be decoded: {error}") from error
    text = " ".join(text.split())
    if not text:
        raise MailError("it has no Message-Id")
    # Up to the last bracket that closes: else each that opens would be followed to the end.
    bracketed = _BRACKETED.search(text, 0, text.rfind(">") + 1)
    return (bracketed.group() if bracketed else text)[:_MESSAGE_ID_LENGTH]


def date_of(first_line: re.Match[bytes]) -> str:
    """The day that a match of FIRST_LINE names, as `YYYY/MM/DD`; MailError where there is none."""
    return _day(first_line).isoformat().replace("-", "/")


def seconds_since_1970(first_line: re.Match[bytes]) -> int:
    """The time that a match of FIRST_LINE names, UTC; MailError where there is no such day."""
    hours, minutes, seconds = map(int, first_line["time"].split(b":"))
    days = (_day(first_line) - _EPOCH).days
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _day(first_line: re.Match[bytes]) -> datetime.date:
    try:
        return datetime.date(
            int(first_line["year"]), _MONTHS.index(first_line["month"]) + 1, int(first_line["day"])
        )
    except ValueError as error:
        raise MailError(f"its first line has no date: {error}") from error

"""What the catalog keeps of a mail: its headers decoded, and the files that its diff names.

Mails are by strangers: no more than `LONGEST_MAIL` bytes are looked at, each header is bounded
before it is decoded, and nothing that a mail says raises an error.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.utils import mktime_tz, parsedate_tz

from patchsync.analysis.bounded_email import read_mail
from patchsync.revisions.catalog_file import LAST_DATE

LONGEST_MAIL = 1 << 20  # bytes
LONGEST_HEAD = 1 << 17  # bytes, of all headers
LONGEST_HEADER = 4096  # bytes, of one that is decoded
LONGEST_NAME = 255  # characters of an author's name, or address
LONGEST_FILES = 1 << 16  # characters of all names together
# Message-ids that a mail answers: the nearest
MOST_REFERENCES = 30
LONGEST_MESSAGE_ID = 998

_HEADER = re.compile(rb"\n([!-9;-~]+):([^\n]*(?:\n[ \t][^\n]*)*)")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_ADDRESS = re.compile(r"<([^<>]*)>[^<>]*$")
# "list at example.org (Name)" as archives of old have it
_IN_BRACKETS = re.compile(r"^\s*(\S+(?: at \S+)?)\s*\(([^()]*)\)\s*$")
_FILES = re.compile(
    rb"^(?:diff --git ([^\s\"]+) ([^\s\"]+)\r?$"
    # What follows a name begins with a tab: else each way to end it would be tried.
    rb"|--- ([^\t\r\n]+)(?:[\t\r][^\n]*)?\n\+\+\+ ([^\t\r\n]+)"
    rb"|rename (?:from|to) ([^\r\n]+))",
    re.MULTILINE,
)
# b4's, which begins with a day; Gerrit's is another one.
_CHANGE_ID = re.compile(rb"^change-id: ([0-9]{8}-[!-~]{1,200})\r?$", re.MULTILINE)
_CHANGE = re.compile(r"[0-9]{8}-[!-~]{1,200}")
_NO_FILE = "/dev/null"


@dataclass(frozen=True, kw_only=True, slots=True)
class MailHead:
    """What a mail says of itself; empty where it does not."""

    subject: str = ""
    author_name: str = ""
    author_address: str = ""
    # In seconds since 1970; None where it has no date that can be read
    date: float | None = None
    # Message-ids that it answers, the nearest first
    references: tuple[str, ...] = ()
    # b4's change-id, which the versions of a series share
    change_id: str | None = None
    files: tuple[str, ...] = ()


def read_head(raw: bytes) -> MailHead:
    """What the first `LONGEST_MAIL` bytes of a mail say."""
    raw = raw[:LONGEST_MAIL]
    head, _, body = raw.partition(b"\n\n")
    if b"\r\n" in head[:LONGEST_HEADER]:
        head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    head = b"\n" + head[:LONGEST_HEAD]
    headers = _headers(head)

    def header(name: bytes) -> str:
        return _decoded(headers[name][0]) if name in headers else ""

    if not _is_plain(headers):
        body = _decoded_body(raw) or body
    # Patchwork's own comes first: whom it takes for the sender, where a list put itself into From.
    name, address = _author(header(b"x-patchwork-submitter") or header(b"from"))
    change = _CHANGE.fullmatch(header(b"x-change-id").strip())
    in_body = None if change else _CHANGE_ID.search(body)
    return MailHead(
        subject=" ".join(header(b"subject").split()),
        author_name=name,
        author_address=address,
        date=_date(header(b"date")),
        references=_references(headers),
        change_id=change[0] if change else in_body[1].decode() if in_body else None,
        files=_files(body),
    )


def _headers(head: bytes) -> dict[bytes, list[bytes]]:
    """The values of each header by its name in lower case, still folded and encoded."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in _HEADER.findall(head):
        headers.setdefault(name.lower(), []).append(value.strip())
    return headers


def _is_plain(headers: dict[bytes, list[bytes]]) -> bool:
    """Whether the body is text as it stands, as Patchwork renders it."""
    encoding = headers.get(b"content-transfer-encoding", [b""])[0].lower()
    kind = headers.get(b"content-type", [b"text"])[0].lower()
    return kind.startswith(b"text") and encoding in (b"", b"7bit", b"8bit", b"binary")


def _decoded(value: bytes) -> str:
    text = value[:LONGEST_HEADER].decode("utf-8", errors="replace")
    if "=?" in text:
        with suppress(Exception):  # what a stranger's header makes the library raise
            text = str(make_header(decode_header(text)))
    # What no file takes, and no terminal should see
    return text.encode("utf-8", errors="replace").decode().replace("\0", "")


def _author(text: str) -> tuple[str, str]:
    """Name and address."""
    text = " ".join(text.split())
    if found := _ADDRESS.search(text):
        name, address = text[: found.start()], found[1]
    elif found := _IN_BRACKETS.match(text):
        name, address = found[2], found[1].replace(" at ", "@")
    else:
        name, address = "", text
    name = name.strip().strip('"').replace('\\"', '"').strip()
    return name[:LONGEST_NAME], address.strip().lower()[:LONGEST_NAME]


def _date(text: str) -> float | None:
    try:
        parsed = parsedate_tz(text[:100])
        seconds = float(mktime_tz(parsed)) if parsed else None
    except Exception:
        return None
    return seconds if seconds is not None and 0 <= seconds < LAST_DATE else None


def _references(headers: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    """What In-Reply-To says comes first, then the last of References, as in Patchwork."""
    answered: dict[str, None] = {}
    for value in headers.get(b"in-reply-to", ())[:MOST_REFERENCES]:
        answered.update(dict.fromkeys(_message_ids(value)[:1]))
    for value in headers.get(b"references", ())[:MOST_REFERENCES]:
        answered.update(dict.fromkeys(reversed(_message_ids(value))))
    return tuple(answered)[:MOST_REFERENCES]


def _message_ids(value: bytes) -> list[str]:
    text = value[-LONGEST_HEAD:].decode("utf-8", errors="replace")
    return [name for name in _MESSAGE_ID.findall(text) if len(name) <= LONGEST_MESSAGE_ID]


def _files(body: bytes) -> tuple[str, ...]:
    names: dict[str, None] = {}
    length = 0
    for match in _FILES.finditer(body):
        old, new, before, after, renamed = match.groups()
        for name in _named(old or before, new or after) if renamed is None else [renamed]:
            text = _file_name(name)
            if text != _NO_FILE and text not in names:
                names[text] = None
                length += len(text)
        if length > LONGEST_FILES:
            break
    return tuple(names)


def _named(old: bytes, new: bytes) -> list[bytes]:
    """The names of a file before and after, without the folders that diff puts before them.

    These differ (`a/` and `b/`); where it puts none, both begin with the same one.
    """
    names = [_unquoted(old), _unquoted(new)]
    real = [name for name in names if name != _NO_FILE.encode()]
    folders = {name.partition(b"/")[0] for name in real}
    if len(real) == len(folders) and (len(real) > 1 or folders <= {b"a", b"b"}):
        real = [name.partition(b"/")[2] or name for name in real]
    return real


def _unquoted(name: bytes) -> bytes:
    """As git quotes what is not ASCII: by its bytes in octal."""
    name = name.strip()
    if name[:1] != b'"':
        return name
    return re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8) & 255]), name.strip(b'"'))


def _file_name(raw: bytes) -> str:
    text = raw[:LONGEST_HEADER].decode("utf-8", errors="replace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _decoded_body(raw: bytes) -> bytes:
    """The texts of a mail whose body is encoded, or in parts; nothing where that is too much."""
    try:
        parts = [
            part.get_payload(decode=True)
            for part in read_mail(raw).walk()
            if part.get_content_maintype() == "text"
        ]
    except Exception:
        return b""
    return b"\n".join(part for part in parts if isinstance(part, bytes))

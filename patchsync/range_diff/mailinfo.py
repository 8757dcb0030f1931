"""A mail taken apart as `git am` does: author, title, message and diff.

What git does with a mail is in its mailinfo: `From:` and `Subject:` in the body count instead of
those in the head, `[PATCH v2 3/7]` goes, what stands above a scissors line or below `---` is a
remark. Where git would end with an error the best reading is taken.
"""

from __future__ import annotations

import codecs
import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

from patchsync.analysis.bounded_email import LONGEST_HEADER, read_mail
from patchsync.errors import PatchTooLarge

# Of one patch; to read and compare one takes about 10 µs for each, at the worst.
MOST_LINES = 100_000
_SPACE = b" \t\r\n"
_SPACES = re.compile(rb"[ \t\r\n]+")
_HEADER = re.compile(rb"(from|subject|date):[ \t\r\n]", re.IGNORECASE)
_WORD = re.compile(rb"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(rb"(\?=)\s+(=\?[^?\s]{1,40}\?[bBqQ]\?)")
_BEFORE_TITLE = re.compile(rb"[Rr][Ee]:|[ \t:]+|\[[^\]]*\]")
# What people write in brackets of their own beside `[PATCH]`
_TAG = re.compile(rb"\[(?:RFC|RESEND|REPOST|[vV]?\d+|\d+/\d+|[ ,:])*\]", re.IGNORECASE)
_DIFF_BEGINS = re.compile(rb"diff -|Index: |--- \S|---[ \t\r]*\Z")
# A line along the page
_LONGEST_SCISSORS = 1000
_SCISSORS = (b">8", b"8<", b">%", b"%<")
_SIGNATURE = b"-- "
# What git takes off both ends of a name and an address.
_CRUD = bytes(range(33)) + b",:;<>\"\\'"
_ODD_IN_NAME = re.compile(rb"[@<>]")
# Their decoders take quadratic time.
_SLOW_CHARSETS = ("punycode", "idna")


def demand_few_lines(lines: int) -> None:
    """PatchTooLarge where a patch has more lines than are compared."""
    if lines > MOST_LINES:
        raise PatchTooLarge(f"the patch has more than {MOST_LINES:,} lines")


class MailInfo(NamedTuple):
    """A patch as its mail says it; all of it in UTF-8 but the diff, which is in its files'."""

    # `Name <address>`
    author: bytes
    title: bytes
    # Of the message below the title, and of the diff; without line ends
    message: list[bytes]
    diff: list[bytes]
    # Without its angle brackets
    message_id: str


def read_mailinfo(raw: bytes) -> MailInfo:
    """The patch in a mail.

    Raises:
        ValueError: it cannot be taken apart; the message says why.
        PatchTooLarge: it has too many lines.
    """
    # In base64 it has more of them.
    demand_few_lines(raw.count(b"\n") // 2)
    mail = read_mail(raw)
    head = {name.lower(): _unfolded(str(value)) for name, value in mail.raw_items()}
    body = _Body()
    lines = list(_lines(mail))
    end = next((at for at, line in enumerate(lines) if body.ends_before(*line)), len(lines))
    diff = [line for line, _ in lines[end:]]
    # git looks into the body for them only where it has a patch.
    if any(line.startswith((b"diff ", b"+++ ")) for line in diff):
        head |= body.headers
    return MailInfo(
        author=_author(_decoded_header(head.get("from", b""))),
        title=_title(_decoded_header(head.get("subject", b""))),
        message=body.message,
        diff=diff,
        message_id=head.get("message-id", b"").decode(errors="replace").strip(" <>"),
    )


class _Body:
    """The part of a mail's body before its diff, line by line."""

    def __init__(self) -> None:
        self.message: list[bytes] = []
        # By name: those that stand in the body
        self.headers: dict[str, bytes] = {}
        self._in_headers = True
        self._last = ""

    def ends_before(self, line: bytes, charset: str) -> bool:
        """Take a line in; True: it does not belong to the message any more."""
        if self._in_headers and self._is_header(line):
            return False
        line = _in_utf8(line, charset)
        if _is_scissors(line):
            self.message.clear()
            self.headers.clear()
            self._in_headers, self._last = True, ""
            return False
        if _DIFF_BEGINS.match(line):
            return True
        self.message.append(line)
        return False

    def _is_header(self, line: bytes) -> bool:
        """Whether the line belongs to the headers in the body, or to the space before them."""
        if not line:
            self._in_headers = not self._last
            return True
        if self._last and line[:1] in b" \t" and not _is_scissors(line):
            if len(self.headers[self._last]) < LONGEST_HEADER:
                self.headers[self._last] += line[:LONGEST_HEADER]
            return True
        if line.startswith(b"[PATCH] "):
            self._last = "subject"
            self.headers[self._last] = line
            return True
        match = _HEADER.match(line + b"\n")
        if match and (name := match[1].decode().lower()) not in self.headers:
            self._last = name
            self.headers[name] = line[match.end() :]
            return True
        self._in_headers = False
        return False


def _lines(mail: Message) -> Iterator[tuple[bytes, str]]:
    """The lines of all texts of the mail, one after the other, each with its charset."""
    for part in mail.walk():
        if part.is_multipart() or part.get_content_type() == "text/html":
            continue
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        # Line ends of the transport; a single one is of a file.
        if content.count(b"\r\n") == content.count(b"\n"):
            content = content.replace(b"\r\n", b"\n")
        demand_few_lines(content.count(b"\n"))
        lines = content.removesuffix(b"\n").split(b"\n")
        if part.get_param("format") == "flowed":
            lines = _unflowed(lines, delsp=str(part.get_param("delsp")).lower() == "yes")
        charset = _usable(part.get_content_charset(""))
        for line in lines:
            yield line, charset


def _unflowed(lines: list[bytes], *, delsp: bool) -> list[bytes]:
    """The lines of format=flowed (RFC 3676), put together again."""
    whole = []
    begun: list[bytes] = []
    for line in lines:
        if line == _SIGNATURE:
            whole += [b"".join(begun), line] if begun else [line]
            begun = []
            continue
        line = line.removeprefix(b" ")
        if line.endswith(b" "):
            begun.append(line[:-1] if delsp else line)
        else:
            whole.append(b"".join([*begun, line]))
            begun = []
    return whole + ([b"".join(begun)] if begun else [])


def _usable(charset: str) -> str:
    """The charset where text must be decoded from it; empty where it is UTF-8, or unknown."""
    try:
        found = codecs.lookup(charset)
    except (LookupError, ValueError):
        return ""
    is_text = getattr(found, "_is_text_encoding", True)
    return "" if found.name in ("utf-8", "ascii", *_SLOW_CHARSETS) or not is_text else found.name


def _in_utf8(text: bytes, charset: str) -> bytes:
    """The text in UTF-8; what is no UTF-8 though it should be is taken for Latin-1, as git does."""
    if charset and not text.isascii():
        return text.decode(charset, errors="replace").encode(errors="replace")
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode(errors="surrogateescape").translate(_LATIN_1).encode(errors="replace")
    return text


_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


def _is_scissors(line: bytes) -> bool:
    """Whether the line is one to cut along: `-- >8 --`; more scissors and dashes than words."""
    if len(line) > _LONGEST_SCISSORS or not any(mark in line for mark in _SCISSORS):
        return False
    text = line.strip(_SPACE)
    perforation = gap = scissors = at = 0
    cutting = False
    while at < len(text):
        here, step = text[at : at + 1], 1
        if here in _SPACE:
            perforation += cutting
            gap += cutting
        elif here == b"-":
            cutting = True
            perforation += 1
        elif text[at : at + 2] in _SCISSORS:
            cutting = True
            perforation += 2
            scissors += 2
            step = 2
        else:
            cutting = False
        at += step
    return scissors > 0 and len(text) >= 8 and len(text) < perforation * 3 and gap * 2 < perforation


def _unfolded(value: str) -> bytes:
    raw = value.encode(errors="surrogateescape")
    return b" ".join(line.strip(_SPACE) for line in raw[: 4 * LONGEST_HEADER].split(b"\n"))


def _decoded_header(value: bytes) -> bytes:
    """A header in UTF-8, its encoded words (RFC 2047) decoded."""
    joined = _BETWEEN_WORDS.sub(rb"\1\2", value)
    return _in_utf8(_WORD.sub(_decoded_word, joined), "")


def _decoded_word(word: re.Match[bytes]) -> bytes:
    charset, encoding, text = word.groups()
    try:
        text = a2b_base64(text + b"==") if encoding in b"bB" else a2b_qp(text, header=True)
    except Error:
        return word[0]
    usable = _usable(charset.decode("ascii", errors="replace"))
    return _in_utf8(text, usable) if usable else text


def _title(subject: bytes) -> bytes:
    """The subject without what says that it is a patch, and which one.

    Unlike `git am` without `--keep-non-patch` it keeps brackets behind `[PATCH]`: they are the
    author's, as in `[PATCH] [media] title`. Where no bracket says PATCH all before the title go.
    """
    at = end = 0
    says_patch = False
    while begin := _BEFORE_TITLE.match(subject, at):
        at = begin.end()
        is_bracket = begin[0].startswith(b"[")
        if not is_bracket or not says_patch or _TAG.fullmatch(begin[0]):
            end = at
        elif says_patch:
            break
        says_patch = says_patch or (is_bracket and b"PATCH" in begin[0].upper())
    return _SPACES.sub(b" ", subject[end:]).strip()


def _author(value: bytes) -> bytes:
    """`Name <address>` of a From header, as git takes it apart."""
    text = _unquoted(_SPACES.sub(b" ", value))
    if b"@" in text:
        at = text.index(b"@")
        begin = max(text.rfind(b" ", 0, at), text.rfind(b"<", 0, at)) + 1
        end = min(text.find(mark, at) % (len(text) + 1) for mark in (b" ", b">"))
        address = text[begin:end]
        before = text[:begin].removesuffix(b"<") + b" "
        name = _SPACES.sub(b" ", before + text[end + 1 :]).strip()
        if name.startswith(b"(") and name.endswith(b")"):
            name = name[1:-1]
    else:
        name, _, rest = value.partition(b"<")
        address = rest.partition(b">")[0]
        name = name.strip()
    if not 0 < len(name) <= 60 or _ODD_IN_NAME.search(name):
        name = address or name
    return b"%s <%s>" % (name.strip(_CRUD), address.strip(_CRUD))


def _unquoted(text: bytes) -> bytes:
    """A header without the quotes and backslashes of its quoted strings and comments."""
    read = bytearray()
    is_quoted, depth, at = False, 0, 0
    while at < len(text):
        here = text[at : at + 1]
        if (is_quoted or depth) and here == b"\\":
            at += 1
            read += text[at : at + 1]
        elif here == b'"' and not depth:
            is_quoted = not is_quoted
        else:
            if not is_quoted:
                depth = max(0, depth + (here == b"(") - (here == b")"))
            read += here
        at += 1
    return bytes(read)

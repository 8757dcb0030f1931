"""Where the mails are in an mbox of Patchwork's `manage.py dumparchive`.

Nothing in the bodies is escaped, so a mail begins only where Patchwork's first line has Patchwork's
id in the headers after it. A body may imitate even that: whoever asks must hold what is found
against what is known of the project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from patchsync.imports.archive import ArchiveFault
from patchsync.patchwork.mbox import (
    FIRST_LINE,
    FIRST_WORDS,
    ID_LINE,
    NO_EMPTY_LINE,
    MailError,
    date_of,
    find_message_id,
    find_patch_id,
    seconds_since_1970,
)

_CHUNK = 128 << 10  # bytes; more is slower, for it leaves the cache
_BEGINNING = b"\n" + FIRST_WORDS
_EMPTY_LINE = re.compile(rb"\n\n")  # twice as fast as bytes.find with so many lines
_ID_NAME = b"\nX-Patchwork-Id:"
# Patchwork writes its id third; this far from a first line it is looked for.
_ID_WITHIN = 16 << 10
_LONGEST_HEADERS = 1 << 20
_LONGEST_FAULT = 300  # characters

Read = Callable[[int], bytes]


class ScannedMail(NamedTuple):
    """A mail in an mbox: its bytes are those from `start`, `length` of them."""

    start: int
    # With the newline that dumparchive adds: the bytes of which the store's md5 is.
    length: int
    patch_id: int
    # Patchwork's date of the patch in seconds since 1970, UTC; 0 where its date is at fault.
    seconds: int
    # Both None where its headers are at fault; the date as the store has it.
    message_id: str | None
    date: str | None
    # Why it cannot be stored.
    fault: str | None


def scan(read: Read, *, name: str = "the mbox") -> Iterator[ScannedMail]:
    """The mails of an mbox in their order, which cover it without a gap.

    Holds a few MiB of it at a time, however long a mail is.

    Args:
        read: gives at most so many bytes of the mbox, and b"" at its end.
        name: of the mbox, for the message.

    Raises:
        ArchiveFault: it does not begin as Patchwork's do.
    """
    scanner = _Scanner(read)
    beginning = scanner.beginning_at(0)
    if beginning is None and scanner.end:
        raise ArchiveFault(
            f"{name} does not begin with 'From patchwork <date>' and X-Patchwork-Id as an mbox of"
            " dumparchive does; name one that is as Patchwork wrote it, line ends included"
        )
    while beginning is not None:
        head = scanner.head(beginning.start)
        end, following = scanner.next_beginning(beginning.start)
        whole = following is not None or scanner.ends_with_newline
        yield _scanned(beginning, end - beginning.start, head, whole)
        beginning = following


class _Beginning(NamedTuple):
    start: int
    patch_id: int
    first_line: re.Match[bytes]


def _scanned(mail: _Beginning, length: int, head: bytes | None, whole: bool) -> ScannedMail:
    """`head`: what is before the empty line, None without one; not `whole`: no newline ends it."""
    message_id = date = fault = None
    seconds = 0
    if head is None and length > _LONGEST_HEADERS:
        fault = f"its headers are longer than {_LONGEST_HEADERS} bytes"
    elif head is None or len(head) + 2 >= length:  # dumparchive's newline is no line
        fault = NO_EMPTY_LINE
    elif not whole:
        fault = "no newline ends it: the mbox is cut short"
    try:
        seconds = seconds_since_1970(mail.first_line)
        if head is not None and fault is None:
            first_line = mail.first_line.end() - mail.first_line.start()
            message_id, date = find_message_id(head[first_line:]), date_of(mail.first_line)
    except MailError as error:
        message_id = date = None
        fault = fault or str(error)[:_LONGEST_FAULT]
    return ScannedMail(mail.start, length, mail.patch_id, seconds, message_id, date, fault)


class _Scanner:
    """The part of an mbox that is looked at. All offsets are of the mbox, and only ever grow."""

    def __init__(self, read: Read) -> None:
        self.end = 0  # of the part
        self.ends_with_newline = False
        self._read = read
        self._ended = False
        self._start = 0
        self._bytes = b""
        self._empty_line = _Ahead(self._find_empty_line, 2)
        self._id_line = _Ahead(self._find_id_line, len(_ID_NAME))

    def next_beginning(self, offset: int) -> tuple[int, _Beginning | None]:
        """The beginning of a mail behind `offset`, and where; without one, where the mbox ends."""
        while True:
            at = self._bytes.find(_BEGINNING, offset - self._start)
            if at >= 0:
                offset = self._start + at + 1
                mail = self.beginning_at(offset)
                if mail is not None:
                    return offset, mail
            elif self._ended:
                return self.end, None
            else:
                offset = max(offset, self.end - len(_BEGINNING) + 1)
                self._reach(self.end + 1, keep=offset)

    def beginning_at(self, offset: int) -> _Beginning | None:
        """The beginning of a mail that is at this beginning of a line, if there is one."""
        limit = offset + _ID_WITHIN
        self._reach(limit, keep=offset)
        first_line = FIRST_LINE.match(self._bytes, offset - self._start)
        if not first_line:
            return None
        behind = self._start + first_line.end()
        if self.end > limit:  # a line that is cut off there might be an id cut short
            limit = self._start + self._bytes.rfind(b"\n", first_line.end(), limit - self._start)
        limit = min(limit, self.end)
        empty_line = self._empty_line.first(behind, limit, self._start)
        limit = limit if empty_line is None else empty_line
        id_line = self._id_line.first(behind, limit, self._start)
        if id_line is None:
            return None
        try:
            patch_id = find_patch_id(self._bytes[id_line - self._start : limit - self._start])
        except MailError:
            return None
        return _Beginning(offset, patch_id, first_line)

    def head(self, offset: int) -> bytes | None:
        """The mail's bytes before the first empty line; None without one that is near enough."""
        limit = offset + _LONGEST_HEADERS
        empty_line = self._empty_line.first(offset, min(limit, self.end), self._start)
        if empty_line is None:
            self._reach(limit, keep=offset)
            empty_line = self._empty_line.first(offset, min(limit, self.end), self._start)
        if empty_line is None:
            return None
        return self._bytes[offset - self._start : empty_line - self._start]

    def _find_empty_line(self, start: int, end: int) -> int:
        match = _EMPTY_LINE.search(self._bytes, start, end)
        return match.start() if match else -1

    def _find_id_line(self, start: int, end: int) -> int:
        match = ID_LINE.search(self._bytes, start, end)
        return match.start() if match else -1

    def _reach(self, offset: int, *, keep: int) -> None:
        """Read until the part ends at `offset` or the mbox does; forget what is before `keep`."""
        while self.end < offset and not self._ended:
            data = self._read(_CHUNK)
            if data:
                self._bytes = self._bytes[keep - self._start :] + data
                self._start = keep
                self.end += len(data)
                self.ends_with_newline = data.endswith(b"\n")
            else:
                self._ended = True


class _Ahead:
    """Searches onwards only, so that a mail full of first lines does not cost its square."""

    def __init__(self, find: Callable[[int, int], int], length: int) -> None:
        self._find = find  # as bytes.find does, in the part
        self._length = length  # of what is looked for
        self._at = 0  # nothing is before
        self._found = False

    def first(self, offset: int, limit: int, start: int) -> int | None:
        """The first at `offset` or behind and before `limit`, in the part that begins at `start`.

        Neither `offset` nor what is found ever decreases from call to call.
        """
        if offset > self._at:
            self._at, self._found = offset, False
        if not self._found and self._at < limit:
            at = self._find(self._at - start, limit - start)
            self._found = at >= 0
            self._at = start + at if self._found else max(self._at, limit - self._length + 1)
        return self._at if self._found and self._at < limit else None

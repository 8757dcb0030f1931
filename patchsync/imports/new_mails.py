"""Reads what is new in an mbox, so much at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Iterator

from patchsync.imports.archive import ArchiveFault, ArchiveMember
from patchsync.imports.inventory import InventoryMail
from patchsync.imports.judge import ProjectMbox
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import FIRST_WORDS, Mail

BATCH_MAILS = 1000
_READ = 2**20


def batches(mbox: ProjectMbox, member: ArchiveMember, most_bytes: int) -> Iterator[FetchResult]:
    """The new mails of an mbox, read from `member`; of at most `most_bytes`, or one mail each.

    Raises:
        ArchiveFault: the archive is not what it was when it was scanned.
    """
    mails: list[Mail] = []
    quarantined: list[tuple[int, str]] = []
    size = 0
    reader = _Reader(member)
    for mail, verdict in mbox.verdicts():
        if verdict == "quarantined":
            quarantined.append((mail.patch_id, mbox.fault(mail) or ""))
        elif verdict == "new":
            if mails and size + mail.length > most_bytes:
                yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
                mails, quarantined, size = [], [], 0
            mails.append(reader.read(mail))
            size += mail.length
        if len(mails) + len(quarantined) >= BATCH_MAILS:
            yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
            mails, quarantined, size = [], [], 0
    if mails or quarantined:
        yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))


class _Reader:
    """Reads an mbox at offsets that only ever grow, in blocks of it."""

    def __init__(self, member: ArchiveMember) -> None:
        self._member = member
        self._start = 0  # of the block
        self._block = b""

    def read(self, mail: InventoryMail) -> Mail:
        """A mail that has no fault."""
        content = self._bytes(mail.start, mail.length)
        if len(content) < mail.length:
            raise ArchiveFault(f"{self._member.name} is shorter than it was")
        if not (content.startswith(FIRST_WORDS) and content.endswith(b"\n")):
            raise ArchiveFault(f"{self._member.name} has no mail where one was; start again")
        assert mail.message_id is not None
        assert mail.date is not None
        return Mail(
            patch_id=mail.patch_id, message_id=mail.message_id, date=mail.date, content=content
        )

    def _bytes(self, start: int, length: int) -> bytes:
        end = self._start + len(self._block)
        if start > end:
            self._member.skip(start - end)
            self._start, self._block = start, b""
        start -= self._start
        chunks = [self._block[start : start + length]]
        missing = length - len(chunks[0])
        while missing > 0 and (block := self._member.read(_READ)):
            self._start, self._block = self._start + len(self._block), block
            chunks.append(block[:missing])
            missing -= len(chunks[-1])
        return b"".join(chunks)

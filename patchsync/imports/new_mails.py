"""Reads what is new in an mbox, so much at a time as memory is to hold."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from patchsync.imports.archive import ArchiveFault, Member
from patchsync.imports.inventory import InventoryMail
from patchsync.imports.project_mbox import ProjectMbox
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import FIRST_WORDS, Mail

BATCH_MAILS = 1000
_READ = 2**20


def batches(mbox: ProjectMbox, member: Member, most_bytes: int) -> Iterator[FetchResult]:
    """The new mails of an mbox, read from `member`; of at most `most_bytes`, or one mail each.

    Raises:
        ArchiveFault: the archive is not what it was when it was scanned.
    """
    mails: list[Mail] = []
    quarantined: list[tuple[int, str]] = []
    size = position = 0
    for mail, verdict in mbox.verdicts():
        if verdict == "quarantined":
            quarantined.append((mail.patch_id, mbox.fault(mail) or ""))
        elif verdict == "new":
            if mails and size + mail.length > most_bytes:
                yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
                mails, quarantined, size = [], [], 0
            if mail.start > position:
                member.skip(mail.start - position)
            mails.append(_read(member, mail))
            position, size = mail.start + mail.length, size + mail.length
        if len(mails) + len(quarantined) >= BATCH_MAILS:
            yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))
            mails, quarantined, size = [], [], 0
    if mails or quarantined:
        yield FetchResult(mails=tuple(mails), quarantined=tuple(quarantined))


def read_ahead(batches: Iterator[FetchResult]) -> Iterator[FetchResult]:
    """The same; while one is stored, a thread reads the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _read(member: Member, mail: InventoryMail) -> Mail:
    chunks = []
    left = mail.length
    while left > 0:
        chunk = member.read(min(left, _READ))
        if not chunk:
            raise ArchiveFault(f"{member.name} is shorter than it was")
        chunks.append(chunk)
        left -= len(chunk)
    content = b"".join(chunks)
    if not (content.startswith(FIRST_WORDS) and content.endswith(b"\n")):
        raise ArchiveFault(f"{member.name} has no mail where one was; start again")
    assert mail.message_id is not None  # only where there is a fault
    assert mail.date is not None
    return Mail(patch_id=mail.patch_id, message_id=mail.message_id, date=mail.date, content=content)

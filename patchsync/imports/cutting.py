"""Cuts an mbox into the pieces that are handed to index workers: only what is to be stored."""

from __future__ import annotations

from collections.abc import Iterator

from patchsync.archive.plan import PlannedMail
from patchsync.archive.source import ArchiveFault, Member
from patchsync.archive.spool import Contents, Piece
from patchsync.imports.part import Part
from patchsync.patchwork.mbox import FIRST_WORDS, Mail

# Long enough that what each piece costs does not matter, short enough for the memory of a worker.
PIECE_BYTES = 16 * 2**20
PIECE_MAILS = 2000
_READ = 2**20


def pieces(part: Part, member: Member, most: int = PIECE_BYTES) -> Iterator[tuple[Piece, Contents]]:
    """The new mails of a part, read from its mbox, in pieces of at most `most` bytes, or one mail.

    Raises:
        ArchiveFault: the mbox is not what it was when the plan was made.
    """
    mails: list[Mail] = []
    quarantined: list[tuple[int, str]] = []
    start = end = size = position = 0
    for mail, verdict in part.verdicts():
        if verdict not in ("new", "quarantined"):
            continue
        length = mail.length if verdict == "new" else 0
        full = size + length > most or len(mails) + len(quarantined) >= PIECE_MAILS
        if full and (mails or quarantined):
            yield Piece(start, end - start), Contents(mails=mails, quarantined=quarantined)
            mails, quarantined, size = [], [], 0
        if not mails and not quarantined:
            start = mail.start
        end = mail.start + mail.length
        if verdict == "quarantined":
            quarantined.append((mail.patch_id, part.fault(mail) or ""))
            continue
        if mail.start > position:
            member.skip(mail.start - position)
        mails.append(_read(member, mail))
        position, size = end, size + length
    if mails or quarantined:
        yield Piece(start, end - start), Contents(mails=mails, quarantined=quarantined)


def _read(member: Member, mail: PlannedMail) -> Mail:
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

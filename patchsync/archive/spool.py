"""Pieces of an archive that wait on disk for the index worker.

A compressed archive can only be read from its beginning to its end, and the worker may run where
the archive is not. So mails are unpacked beside the store, a bounded number of bytes at a time; a
message names the piece, and the piece is removed once its mails are stored.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from patchsync.errors import StoreDamaged
from patchsync.patchwork.mbox import Mail
from patchsync.store.files import storing

_BUFFER = 1 << 20  # bytes; mails are a few KiB each
_NAME = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


@dataclass(frozen=True)
class Piece:
    """A stretch of an mbox, in bytes."""

    start: int
    length: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.start}-{self.length}"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a piece holds for the store; what its mails are was read from them by `scan`."""

    # Their content is what stands in the mbox, with the newline that dumparchive puts behind it.
    mails: Sequence[Mail]
    # (patchwork id, why its mail cannot be stored)
    quarantined: Sequence[tuple[int, str]] = ()


class Spool:
    """The pieces of one mbox, each a file in `folder`. All methods may raise StoreUnavailable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        """Remove what an import that was killed left behind, and make the folder."""
        with storing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove the folder, for it is not needed any more."""
        with storing(self._folder):
            if self._folder.is_dir():
                self.clear()
                self._folder.rmdir()

    def waiting(self) -> set[Piece]:
        """The pieces that are not stored yet."""
        with storing(self._folder):
            found = [_NAME.fullmatch(file.name) for file in self._folder.iterdir()]
            return {Piece(int(name[1]), int(name[2])) for name in found if name}

    def write(self, piece: Piece, contents: Contents) -> None:
        """Write a piece: a line of JSON that says what is in it, then the mails' content."""
        mails = [(m.patch_id, m.message_id, m.date, len(m.content)) for m in contents.mails]
        head = {"mails": mails, "quarantined": list(contents.quarantined)}
        file = self._folder / piece.name
        fresh = file.with_name(f"{piece.name}.new")
        with storing(file):
            with fresh.open("wb", buffering=_BUFFER) as output:
                output.write(json.dumps(head).encode() + b"\n")
                output.writelines(mail.content for mail in contents.mails)
            fresh.replace(file)

    def read(self, piece: Piece) -> Contents | None:
        """What is in a piece; None if it is stored already.

        Raises:
            StoreDamaged: the file is not what `write` wrote.
        """
        file = self._folder / piece.name
        with storing(file):
            try:
                source = file.open("rb", buffering=_BUFFER)
            except FileNotFoundError:
                return None
            with source:
                try:
                    return _read(source)
                except (ValueError, TypeError, KeyError) as error:
                    raise StoreDamaged(
                        f"{file}: not whole; stop the import, remove the file, and start it again"
                    ) from error

    def remove(self, piece: Piece) -> None:
        """Note that a piece is stored."""
        file = self._folder / piece.name
        with storing(file):
            file.unlink(missing_ok=True)


def _read(source: BinaryIO) -> Contents:
    """What `Spool.write` wrote; ValueError, TypeError or KeyError if it is anything else."""
    head = json.loads(source.readline())
    mails = [(int(a), str(b), str(c), int(length)) for a, b, c, length in head["mails"]]
    lengths = [length for *_, length in mails]
    if (
        min(lengths, default=0) < 0
        or source.tell() + sum(lengths) != os.fstat(source.fileno()).st_size
    ):
        raise ValueError("another length")
    # One by one: taken apart in memory they would be there twice.
    return Contents(
        mails=[
            Mail(patch_id=patch_id, message_id=message_id, date=date, content=source.read(length))
            for patch_id, message_id, date, length in mails
        ],
        quarantined=tuple((int(number), str(reason)) for number, reason in head["quarantined"]),
    )

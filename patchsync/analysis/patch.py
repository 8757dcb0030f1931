"""What PaStA sees of a mail or a commit when it compares two of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# (name,) where it stays the same, else (old, new); one may be /dev/null.
FileKey = tuple[str, ...]
NOTHING = "/dev/null"


class Hunk(NamedTuple):
    """All hunks of a file under one heading, in order: changed lines, without empty ones."""

    deletions: tuple[str, ...]
    insertions: tuple[str, ...]


class FileDiff(NamedTuple):
    """The changes of a file: git's similarity index in per cent, 0 for none; hunks by heading."""

    similarity: int
    hunks: dict[str, Hunk]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A patch, from a mail or a commit."""

    # The subject's line first, without tags and empty lines
    message: tuple[str, ...]
    # With a zone
    author_date: datetime
    is_revert: bool
    # In the order in which they came: it decides between equally good matches.
    files: dict[FileKey, FileDiff]
    # Insertions and deletions, the empty ones too
    lines: int
    # Hashes that the message says it was picked from, as they are written there
    picked: tuple[str, ...] = ()

    @property
    def affected(self) -> frozenset[str]:
        """The names of all files, old and new."""
        return frozenset(name for key in self.files for name in key if name != NOTHING)

"""A patch as PaStA compares it, from a mail or a commit: its message and its diff."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# The name of a file, (name,) where it stays the same, else (old, new); one may be NO_FILE.
FileKey = tuple[str, ...]
NO_FILE = "/dev/null"

# Lines that say who and where, not what.
_TAG_LINE = re.compile(
    r"""
    (?:Signed-off-by|Acked-by|Link|CC|Reviewed-by|Reported-by|Tested-by|LKML-Reference|Patch
    |Wrecked-off-by|Gitweb|Merge|Fixes|Commit|From|Commit-ID|Author|AuthorDate|Committer|CommitDate
    |Suggested-by|Co-developed-by|BugLink|BSpec|Bugzilla|Addresses-Coverity|Addresses-Coverity-ID
    |Reported-and-tested-by|Noticed-by|Message-Id|Debugged-by|Depends-on|Coverity-id|Discussion
    |Wearing-brown-paperbag|References|OriginalAuthor|Originally-by|Inspired-by|Change-Id|Bug
    |Diagnosed-by|Not-Signed-off-by)\s*:
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PICK = re.compile("pick", re.IGNORECASE)
_UPSTREAM_COMMIT = [
    tuple(re.compile(word, re.IGNORECASE) for word in words)
    for words in (("upstream", "commit"), ("commit", "upstream"))
]
_HASH = re.compile(r"\b[0-9a-fA-F]{5,40}\b")


class NotAPatch(ValueError):
    """PaStA takes a mail or commit for no patch; the message says why."""


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
    """What is compared of a mail or commit."""

    # Lines, the subject's first, without tags and empty ones
    message: tuple[str, ...]
    # It knows its time zone.
    author_date: datetime
    is_revert: bool
    # In the order of the diff: it decides between equally good matches.
    files: dict[FileKey, FileDiff]
    # Number of insertions and deletions, the empty ones too
    lines: int
    # Hashes that the message says it was picked from, as they are written there
    picked: tuple[str, ...] = ()

    @property
    def affected(self) -> frozenset[str]:
        """The names of all files, old and new."""
        return frozenset(name for key in self.files for name in key if name != NO_FILE)


def read_message(lines: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The message without tags and empty lines, and whether it is that of a revert.

    `lines` are without line ends. The first that is not empty is the subject and stays as it is;
    the others are stripped, and those of spaces alone stay, empty. A subject that the next line
    repeats counts once.
    """
    is_revert = "revert" in "\n".join(lines).lower()
    message = [line for line in lines if line]
    message[1:] = _without_tags(message[1:])
    if message[:1] == message[1:2]:
        del message[:1]
    return tuple(message), is_revert


def picked_from(message: Iterable[str]) -> tuple[str, ...]:
    """The hashes that a message, by its lines, says it was picked from, as they are written there.

    Such a line speaks of picking, or of an upstream commit; the first hash in it counts.
    """
    # A folded subject is one line here, but the words stand in what was its first.
    said = (line for line in message if _is_pick(line.partition("\n")[0]))
    return tuple(found[0] for line in said if (found := _HASH.search(line)))


def _is_pick(line: str) -> bool:
    # Not one pattern: it would take quadratic time on a long line.
    return bool(_PICK.search(line)) or any(
        found and after.search(line, found.end())
        for first, after in _UPSTREAM_COMMIT
        if (found := first.search(line))
    )


def _without_tags(lines: Iterable[str]) -> list[str]:
    stripped = map(str.strip, lines)
    return [line for line in stripped if ":" not in line or not _TAG_LINE.match(line)]

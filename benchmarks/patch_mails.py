"""Mails of a made-up mailing list for benchmarks: patches to many files, in revisions.

The patches are made up, too, or the commits of a git repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

import pygit2
from pygit2.enums import SortMode

from patchsync.patchwork.mbox import Mail

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
WORDS = [
    f"{start}{middle}{end}"
    for start in ("re", "un", "de", "pre", "con", "in", "sub", "ex")
    for middle in ("map", "link", "lock", "count", "queue", "frag", "clock", "page", "port", "sync")
    for end in ("", "s", "ed", "ing", "er", "able", "_init", "_free", "_set", "_get")
]
# As on real lists: few files are in many patches, most are in few.
FILES = 12_000
REVISIONS = (1, 1, 1, 2, 2, 3, 4)
# Characters: what a list takes
LONGEST_DIFF = 300_000

Patch = TypeVar("Patch")


@dataclass(frozen=True)
class Revision:
    """A patch in one of its revisions."""

    files: tuple[str, ...]
    subject: str
    message: tuple[str, ...]
    # A line with its sign, by file
    changes: tuple[tuple[str, ...], ...]


def mails(number: int, seed: int = 1, files: int = FILES) -> Iterator[Mail]:
    """So many mails, by patchwork id from 1 on, each an hour after the one before.

    `files`: that they touch.
    """
    random = Random(seed)
    new = (_new(random, files) for _ in count())
    patches = _in_revisions(random, new, lambda before: _revised(random, before))
    for patch_id, patch in zip(range(1, number + 1), patches, strict=False):
        yield _mail(patch_id, patch)


def mails_of_commits(repository: Path, number: int, seed: int = 1) -> Iterator[Mail]:
    """The same of the commits of a git repository, oldest first; their revisions are made up.

    They are fewer where it has not as many. The first mail may take seconds.
    """
    random = Random(seed)
    commits = _commits(pygit2.Repository(str(repository)))
    patches = _in_revisions(random, commits, lambda before: before.revised(random))
    for patch_id, patch in zip(range(1, number + 1), patches, strict=False):
        head = _head(patch_id, patch.subject)
        yield _as_mail(patch_id, f"{head}{patch.message}\n---\n{patch.diff}")


def _in_revisions(
    random: Random, new: Iterator[Patch], revised: Callable[[Patch], Patch]
) -> Iterator[Patch]:
    """Patches, each new or a revision of one before, until there is no new one."""
    waiting: list[tuple[int, Patch]] = []  # How many revisions follow, and the last one
    while True:
        if waiting and random.random() < 0.5:
            left, before = waiting.pop(random.randrange(max(0, len(waiting) - 200), len(waiting)))
            now = revised(before)
        else:
            left, another = random.choice(REVISIONS), next(new, None)
            if another is None:
                return
            now = another
        if left > 1:
            waiting.append((left - 1, now))
        yield now


@dataclass(frozen=True)
class Commit:
    """A commit of a repository in one of its revisions."""

    subject: str
    message: str
    diff: str

    def revised(self, random: Random) -> Commit:
        """With other words in some of the lines that it adds."""
        lines = self.diff.split("\n")
        for at, line in enumerate(lines):
            if line[:1] == "+" and line[:3] != "+++" and len(line) > 3 and random.random() < 0.05:
                lines[at] = f"{line[: len(line) // 2]} {random.choice(WORDS)}"
        return replace(
            self, message=f"{self.message}\n{_sentence(random, 6)}", diff="\n".join(lines)
        )


def _commits(repository: pygit2.Repository) -> Iterator[Commit]:
    order = SortMode.TOPOLOGICAL | SortMode.REVERSE
    for commit in repository.walk(repository.head.target, order):
        if len(commit.parents) != 1:
            continue
        diff = commit.parents[0].tree.diff_to_tree(commit.tree).patch or ""
        if diff and len(diff) < LONGEST_DIFF:
            subject, _, body = commit.message.partition("\n")
            yield Commit(subject, body.strip(), diff)


def _new(random: Random, number_of_files: int) -> Revision:
    files = tuple(
        f"drivers/{WORDS[at % len(WORDS)]}/{WORDS[at // 7 % len(WORDS)]}_{at}.c"
        for at in {
            int(number_of_files * random.random() ** 3) for _ in range(random.choice((1, 1, 2, 3)))
        }
    )
    return Revision(
        files,
        _sentence(random, 6),
        tuple(_sentence(random, 10) for _ in range(random.randint(2, 12))),
        tuple(
            tuple(_line(random) for _ in range(int(3 / (0.03 + random.random())))) for _ in files
        ),
    )


def _revised(random: Random, before: Revision) -> Revision:
    changes = [
        tuple(_line(random) if random.random() < 0.05 else line for line in lines)
        for lines in before.changes
    ]
    message = (*before.message[:-1], _sentence(random, 10))
    return replace(before, message=message, changes=tuple(changes))


def _sentence(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


def _line(random: Random) -> str:
    left, right, index = random.choice(WORDS), random.choice(WORDS), random.randint(0, 99)
    return f"{random.choice('+++-')}\t{left}->{right} = {right}({left}, {index});"


def _mail(patch_id: int, patch: Revision) -> Mail:
    parts = [_head(patch_id, patch.subject) + "\n".join(patch.message) + "\n---\n"]
    for file, lines in zip(patch.files, patch.changes, strict=True):
        added = sum(line[0] == "+" for line in lines)
        parts.append(
            f"diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n"
            f"@@ -1,{len(lines) - added} +1,{added} @@ int {file[8:20]}(void)\n"
            + "\n".join(lines)
            + "\n"
        )
    return _as_mail(patch_id, "".join(parts))


def _head(patch_id: int, subject: str) -> str:
    return (
        f"From: A <a@example.org>\nDate: {format_datetime(_date(patch_id))}\n"
        f"Message-Id: {_message_id(patch_id)}\nSubject: [PATCH] {subject}\n\n"
    )


def _as_mail(patch_id: int, text: str) -> Mail:
    return Mail(
        patch_id=patch_id,
        date=f"{_date(patch_id):%Y/%m/%d}",
        message_id=_message_id(patch_id),
        content=text.encode("utf-8", "surrogateescape"),
    )


def _date(patch_id: int) -> datetime:
    return FIRST_DAY + timedelta(hours=patch_id)


def _message_id(patch_id: int) -> str:
    return f"<{patch_id}@lists.example.org>"

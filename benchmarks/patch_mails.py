"""Mails of a made-up mailing list for benchmarks: patches to many files, in revisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from random import Random

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


@dataclass(frozen=True)
class Revision:
    """A patch in one of its revisions."""

    files: tuple[str, ...]
    subject: str
    message: tuple[str, ...]
    # A line with its sign, by file
    changes: tuple[tuple[str, ...], ...]


def mails(number: int, seed: int = 1) -> Iterator[Mail]:
    """So many mails, by patchwork id from 1 on, each an hour after the one before."""
    random = Random(seed)
    waiting: list[tuple[int, Revision]] = []  # How many revisions follow, and the last one
    for patch_id in count(1):
        if patch_id > number:
            return
        if waiting and random.random() < 0.5:
            left, before = waiting.pop(random.randrange(max(0, len(waiting) - 200), len(waiting)))
            now = _revised(random, before)
        else:
            left, now = random.choice(REVISIONS), _new(random)
        if left > 1:
            waiting.append((left - 1, now))
        yield _mail(patch_id, now)


def _new(random: Random) -> Revision:
    files = tuple(
        f"drivers/{WORDS[at % len(WORDS)]}/{WORDS[at // 7 % len(WORDS)]}_{at}.c"
        for at in {int(FILES * random.random() ** 3) for _ in range(random.choice((1, 1, 2, 3)))}
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
    date = FIRST_DAY + timedelta(hours=patch_id)
    message_id = f"<{patch_id}@lists.example.org>"
    parts = [
        f"From: A <a@example.org>\nDate: {format_datetime(date)}\nMessage-Id: {message_id}\n"
        f"Subject: [PATCH] {patch.subject}\n\n" + "\n".join(patch.message) + "\n---\n"
    ]
    for file, lines in zip(patch.files, patch.changes, strict=True):
        added = sum(line[0] == "+" for line in lines)
        parts.append(
            f"diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n"
            f"@@ -1,{len(lines) - added} +1,{added} @@ int {file[8:20]}(void)\n"
            + "\n".join(lines)
            + "\n"
        )
    return Mail(
        patch_id=patch_id,
        date=f"{date:%Y/%m/%d}",
        message_id=message_id,
        content="".join(parts).encode(),
    )

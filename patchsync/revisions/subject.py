"""What stands in brackets before a subject, read as Patchwork reads it (its `parser.py`)."""

from __future__ import annotations

import re
from typing import NamedTuple

from patchsync.revisions.model import SubjectPrefix

# A reader looks at no more; the longest that people write have some 200 characters.
LONGEST_SUBJECT = 1000
# What is above is no number that somebody counted
LARGEST_VERSION = 9_999
LARGEST_TOTAL = 9_999

_REPLY = re.compile(r"(?:re|fwd?)[:\s]\s*", re.IGNORECASE)
_BRACKETS = re.compile(r"\[([^\]]*)\]\s*")
_BETWEEN = re.compile(r"[,\s]+")
# As Mercurial writes it
_COUNTED = re.compile(r"PATCH (\d+ of \d+)")
# Anything may stand before the numbers: `PATCH1/8`.
_PART = re.compile(r"(?:.*[^0-9])?([0-9]+)(?:/| of )([0-9]+)", re.DOTALL)
_VERSION = re.compile(r"[vV]([0-9]+)")
_VERSION_IN_TITLE = re.compile(r"\([vV]([0-9]+)\)")
_ALONE = (1, 1)


class Subject(NamedTuple):
    """A subject taken apart."""

    title: str
    prefix: SubjectPrefix
    # Whether it says which part of a series it is
    is_numbered: bool


def read_subject(subject: str) -> Subject:
    """Take a decoded subject apart.

    Of several numbers the first count; those that nobody means (above `LARGEST_TOTAL`, of 0) are
    none.
    """
    rest = " ".join(subject[:LONGEST_SUBJECT].split())
    rest = _REPLY.sub("", rest, count=1) if _REPLY.match(rest) else rest
    words: list[str] = []
    at = 0
    while brackets := _BRACKETS.match(rest, at):
        words += _words(brackets[1])
        at = brackets.end()
    title = rest[at:]
    numbers = next(filter(None, map(_numbers, words)), None)
    part, total = numbers or _ALONE
    prefix = SubjectPrefix(version=_version(words, title), part=part, total=total)
    return Subject(title=title or rest, prefix=prefix, is_numbered=numbers is not None)


def _words(brackets: str) -> list[str]:
    counted = _COUNTED.match(brackets)
    if counted:
        return [counted[1], *_BETWEEN.split(brackets[counted.end() :])]
    return _BETWEEN.split(brackets)


def _numbers(word: str) -> tuple[int, int] | None:
    """Part and total, where a word has them, and they may be meant."""
    found = _PART.fullmatch(word)
    if not found:
        return None
    part, total = _bounded(found[1]), _bounded(found[2])
    # A part beyond the total is meant so: `[PATCH 6/5]`, which was forgotten.
    return (part, total) if 1 <= total <= LARGEST_TOTAL and part <= LARGEST_TOTAL else None


def _version(words: list[str], title: str) -> int:
    found = next(filter(None, map(_VERSION.fullmatch, words)), None)
    found = found or _VERSION_IN_TITLE.search(title)
    version = _bounded(found[1]) if found else 1
    return version if version <= LARGEST_VERSION else 1


def _bounded(digits: str) -> int:
    """The number; of nonsense one that is above each limit."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 9 else 10**9

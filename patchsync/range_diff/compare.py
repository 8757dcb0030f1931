"""Two patches side by side: a diff of their texts, as `git range-diff` shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

from pygit2 import Patch
from pygit2.enums import DiffOption

from patchsync.range_diff.patch_text import PatchText

_CONTEXT = 3
_SECTION = re.compile(rb" ## (.*) ##|.?@@ (.*)")
_LONGEST_SECTION = 80
# Beyond it libgit2 sees no difference.
_DEEPEST_INDENT = 200
_BLANK = bytes.maketrans(b"01", b" \t")


class DiffLine(NamedTuple):
    """A line of the diff of two patches.

    What the patch itself does is the first character of `text`: it inserts (`+`) or deletes (`-`)
    a line, or a hunk begins (`@`).
    """

    # In which of the patches it is: "-" the left one, "+" the right one, " " both; "@": `text` is
    # the section that the next lines are of, as ` ## file ##` or `@@ file: heading` name it
    sign: str
    text: str


def compare(left: PatchText, right: PatchText) -> list[DiffLine]:
    """What differs, with three lines around it; empty where nothing does.

    What is no UTF-8 in it is shown as U+FFFD.
    """
    if left.text == right.text:
        return []
    old, new = (_lines(patch.text) for patch in (left, right))
    lines = []
    section, seen = b"", 0
    texts = numbered([old, new])
    for hunk in _diff(texts[0], texts[1], DiffOption.INDENT_HEURISTIC).hunks:
        first = hunk.old_start - (hunk.old_lines > 0)
        section, seen = _last_section(old[seen:first], section), first
        lines.append(DiffLine("@", _shown(section)))
        for line in hunk.lines:
            text = new[line.new_lineno - 1] if line.origin == "+" else old[line.old_lineno - 1]
            lines.append(DiffLine(line.origin, _shown(text)))
    return lines


def cost(left: bytes, right: bytes) -> int:
    """Of how many lines the difference of two numbered diffs is: git's weight to pair patches."""
    patch = _diff(left, right, DiffOption.NORMAL)
    return sum(patch.line_stats) + len(patch.hunks)


def numbered(texts: Iterable[Sequence[bytes]]) -> list[bytes]:
    """The texts with a number for each line, indented as it is; the same for the same line.

    libgit2 compares lines by a hash that anyone can make collide, and takes quadratic time then.
    Of their content it needs no more than how far they are indented, and which are blank.
    """
    numbers = count()
    known: dict[bytes, bytes] = {}
    read = []
    for lines in texts:
        for line in lines:
            if line not in known:
                known[line] = _numbered(line, next(numbers))
        read.append(b"".join(map(known.__getitem__, lines)))
    return read


def _numbered(line: bytes, number: int) -> bytes:
    stripped = line.lstrip()
    if not stripped:
        return f"{number:b}".encode().translate(_BLANK) + b"\n"
    space = line[: len(line) - len(stripped)].translate(None, b"\r\v\f")
    indent = len(space[:_DEEPEST_INDENT].expandtabs())
    return b" " * min(indent, _DEEPEST_INDENT) + b"%d\n" % number


def _diff(left: bytes, right: bytes, flags: DiffOption) -> Patch:
    return Patch.create_from(left, right, flag=flags, context_lines=_CONTEXT)


def _lines(text: bytes) -> list[bytes]:
    return text.split(b"\n")[:-1]


def _last_section(lines: Sequence[bytes], before: bytes) -> bytes:
    """The name of the last section that begins in these lines, else the one before them."""
    for line in reversed(lines):
        match = _SECTION.fullmatch(line.removesuffix(b"\r"))
        if match and _is_utf8(line):
            name = match[2] if match[1] is None else match[1]
            return name[:_LONGEST_SECTION].rstrip()
    return before


def _is_utf8(text: bytes) -> bool:
    """git's regex finds no section in a line that is none."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")

"""Two patches side by side: a diff of their texts, as `git range-diff` shows it."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

from pygit2 import Patch
from pygit2.enums import DiffOption

from patchsync.range_diff.patch_text import PatchText

_CONTEXT = 3
_SECTION = re.compile(rb"^(?: ## (.*) ##|.?@@ (.*))$", re.MULTILINE)
_LONGEST_SECTION = 80
# A file of any bytes is text to us.
_AS_TEXT = DiffOption.FORCE_TEXT


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

    Raises:
        PatchTooLarge: it would take too long.
    """
    if left.text == right.text:
        return []
    lines = []
    sections = _Sections(left.text)
    for hunk in _diff(left.text, right.text, DiffOption.INDENT_HEURISTIC).hunks:
        first = hunk.old_start - (hunk.old_lines > 0)
        lines.append(DiffLine("@", _shown(sections.before(first))))
        for line in hunk.lines:
            if line.origin in " +-":
                lines.append(DiffLine(line.origin, _shown(line.raw_content.removesuffix(b"\n"))))
    return lines


def cost(left: PatchText, right: PatchText) -> int:
    """Of how many lines the difference of two diffs is, as git weighs it to pair patches.

    Raises:
        PatchTooLarge: it would take too long.
    """
    patch = _diff(left.diff, right.diff, DiffOption.NORMAL)
    return sum(patch.line_stats) + len(patch.hunks)


def _diff(left: bytes, right: bytes, flags: DiffOption) -> Patch:
    return Patch.create_from(left, right, flag=flags | _AS_TEXT, context_lines=_CONTEXT)


class _Sections:
    """In which section a line of a patch is."""

    def __init__(self, text: bytes) -> None:
        self._names: list[bytes] = []
        self._lines: list[int] = []
        line = end = 0
        for match in _SECTION.finditer(text):
            name = match[1] if match[1] is not None else match[2]
            if not _is_utf8(name):  # git's regex finds none there.
                continue
            line += text.count(b"\n", end, match.start())
            end = match.start()
            self._names.append(name)
            self._lines.append(line)

    def before(self, line: int) -> bytes:
        """The last section that begins before the line, counted from 0; empty: none."""
        at = bisect_left(self._lines, line)
        return self._names[at - 1][:_LONGEST_SECTION].rstrip() if at else b""


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")

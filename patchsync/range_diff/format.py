"""Pairs of patches and their differences as `git range-diff` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from patchsync.patchwork.foreign_text import visible
from patchsync.range_diff.compare import DiffLine, compare
from patchsync.range_diff.pairing import Pair

_INDENT = "    "
_RESET = "\x1b[m"
_OLD, _NEW, _PLACE, _HEADING = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[33m"
_REVERSE, _BOLD, _DIM = "\x1b[7m", "\x1b[1m", "\x1b[2m"
_OF_PATCH = {"+": "new", "-": "old", "@": "place"}
_COLOURS = {"new": _NEW, "old": _OLD, "place": _PLACE, "context": ""}
_WEIGHT = {"-": _DIM, "+": _BOLD, " ": ""}


class Kind(NamedTuple):
    """What a line of a difference of two patches is, for its colours."""

    # "left": in the left patch only, "right", "both", or "section": it names where one is
    side: str
    # What the patch does there: "new" line, "old" line, "place" of a hunk, "context"
    change: str


def kind(line: DiffLine) -> Kind:
    """Which colours a line takes."""
    if line.sign == "@":
        return Kind("section", "place")
    side = {"-": "left", "+": "right", " ": "both"}[line.sign]
    return Kind(side, _OF_PATCH.get(line.text[:1], "context"))


def plain_line(line: DiffLine) -> str:
    """A line of a difference as text, without indent."""
    if line.sign == "@":
        return f"@@ {line.text}" if line.text else "@@"
    return f"{line.sign}{line.text}"


def ansi_line(line: DiffLine) -> str:
    """A line of a difference for a terminal, coloured twice as git does; what would steer the
    terminal is shown as an escape."""
    side, change = kind(line)
    text = visible(line.text)
    if side == "section":
        return f"{_PLACE}@@{_RESET} {text}" if text else f"{_PLACE}@@{_RESET}"
    colour = _COLOURS[change]
    if side == "both":
        return f" {colour}{text}{_RESET}" if colour else f" {text}"
    sign = f"{_REVERSE}{_OLD if side == 'left' else _NEW}{line.sign}{_RESET}"
    weight = "" if change == "place" else _WEIGHT[line.sign]
    return f"{sign}{weight}{colour}{text}{_RESET}"


def heading(pair: Pair, width: int = 1) -> str:
    """`1:  1234 ! 2:  1301 title`; `width`: of the numbers, see `number_width`."""
    left, sign, right, title = _heading(pair, width)
    return f"{left} {sign} {right} {title}".rstrip()


def ansi_heading(pair: Pair, width: int = 1) -> str:
    """The same for a terminal, coloured as git does."""
    left, sign, right, title = (visible(part) for part in _heading(pair, width))
    if sign == "!":
        return (
            f"{_OLD}{left} {_RESET}{_HEADING}!{_RESET}{_NEW} {right}{_RESET}"
            f"{_HEADING} {title}{_RESET}"
        )
    colour = {"<": _OLD, ">": _NEW, "=": _HEADING}[sign]
    return f"{colour}{left} {sign} {right} {title}{_RESET}"


def number_width(pairs: Sequence[Pair]) -> int:
    """Digits that the numbers of the pairs take."""
    most = max((max(pair.left_number, pair.right_number) for pair in pairs), default=0)
    return len(str(1 + most))


def plain(pairs: Sequence[Pair]) -> Iterator[str]:
    """All lines of pairs and their differences, as text without line ends."""
    width = number_width(pairs)
    for pair in pairs:
        yield heading(pair, width)
        yield from (_INDENT + plain_line(line) for line in difference(pair))


def ansi(pairs: Sequence[Pair]) -> Iterator[str]:
    """All lines of pairs and their differences, for a terminal with colours; see `plain`."""
    width = number_width(pairs)
    for pair in pairs:
        yield ansi_heading(pair, width)
        yield from (_INDENT + ansi_line(line) for line in difference(pair))


def difference(pair: Pair) -> Iterable[DiffLine]:
    """What differs between the two of a pair; nothing where there is one alone."""
    return compare(pair.left, pair.right) if pair.left and pair.right else ()


def _heading(pair: Pair, width: int) -> tuple[str, str, str, str]:
    patch = pair.left or pair.right
    assert patch is not None
    dashes = "-" * len(patch.name)
    left = f"{pair.left_number or '-':>{width}}:  {pair.left.name if pair.left else dashes}"
    right = f"{pair.right_number or '-':>{width}}:  {pair.right.name if pair.right else dashes}"
    return left, pair.sign, right, patch.title

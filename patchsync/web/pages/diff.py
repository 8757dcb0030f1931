"""`/diff/<left>/<right>`, `/diff/<right>`: what changed from one revision to another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from patchsync.patchwork.foreign_text import visible
from patchsync.range_diff.compare import DiffLine
from patchsync.range_diff.format import heading, kind, number_width, plain_line
from patchsync.revisions.as_json import diff_json
from patchsync.revisions.compare import PartDiff, compare_revisions
from patchsync.revisions.model import PatchMail
from patchsync.web.answers import JSON, TEXT, Answer, Request
from patchsync.web.site import Site

# Of all differences on one page; the rest is in the text
SHOWN_LINES = 10_000
SHOWN_CHARACTERS = 1_000_000
TEXT_BYTES = 4 << 20
CUT = "more is left out: it is too large"


class ShownLine(NamedTuple):
    """A line of a difference on a page: its sign and text, and the classes that colour them."""

    text: str
    classes: str


class Budget:
    """What is left of what one page shows."""

    def __init__(self) -> None:
        self.lines = SHOWN_LINES
        self.characters = SHOWN_CHARACTERS

    def take(self, lines: Sequence[DiffLine]) -> list[ShownLine]:
        """The first of these lines, as many as there is room for."""
        shown = []
        for line in lines[: self.lines]:
            text = plain_line(line)
            if len(text) > self.characters:
                self.characters = 0
                break
            self.characters -= len(text)
            shown.append(ShownLine(text, " ".join(kind(line))))
        self.lines -= len(shown)
        return shown


def page(site: Site, request: Request) -> Answer:
    """The difference as `git range-diff` shows it; without `left` since the one before."""
    left, right = request.names.get("left"), request.names["right"]
    with site.catalog() as catalog:
        part = compare_revisions(site.config, catalog, left or right, right if left else None)
    if request.format == "txt":
        return text_answer([part])
    if request.format == "json":
        (bounded,) = shortened([part])
        content = json.dumps(diff_json(site.config, bounded))
        return Answer(body=content.encode(), content_type=JSON)
    names = [name_of(part.left), name_of(part.right)]
    lines = Budget().take(part.lines)
    return site.page(
        "diff.html",
        title=part.pair.right.title if part.pair.right else "",
        part=part,
        names=names,
        lines=lines,
        left_out=len(part.lines) - len(lines),
    )


def name_of(side: PatchMail | str | None) -> str:
    """The message-id of a mail, or the hash of a commit."""
    return side.message_id if isinstance(side, PatchMail) else side or ""


def shortened(parts: Iterable[PartDiff]) -> Iterator[PartDiff]:
    """The parts, with as many lines as an answer may have as JSON; a last one says if it is cut."""
    left = TEXT_BYTES
    for part in parts:
        lines: list[DiffLine] = []
        for line in part.lines:
            left -= len(json.dumps(line._asdict()))
            if left < 0:
                lines.append(DiffLine("@", CUT))
                break
            lines.append(line)
        yield replace(part, lines=tuple(lines))


def text_answer(parts: Sequence[PartDiff], remarks: Iterable[str] = ()) -> Answer:
    """Parts as `git range-diff` writes them, cut where there is too much.

    It may be read in a terminal (`curl`), so what would steer one is shown as an escape.
    """
    pieces, size = [], 0
    for line in text_lines(parts, remarks):
        piece = f"{visible(line)}\n".encode()
        size += len(piece)
        if size > TEXT_BYTES:
            pieces.append(f"... {CUT}\n".encode())
            break
        pieces.append(piece)
    return Answer(body=b"".join(pieces), content_type=TEXT)


def text_lines(parts: Sequence[PartDiff], remarks: Iterable[str]) -> Iterator[str]:
    """All of it; remarks before and beneath headings."""
    yield from (f"# {remark}" for remark in remarks)
    width = number_width([part.pair for part in parts])
    for part in parts:
        yield heading(part.pair, width)
        yield from (f"    # {remark}" for remark in part.notes)
        yield from (f"    {plain_line(line)}" for line in part.lines)

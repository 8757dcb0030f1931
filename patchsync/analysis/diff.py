"""A diff as PaStA reads it: files, their hunks by heading, and how many lines change."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from patchsync.analysis.patch import NO_FILE, FileDiff, FileKey, Hunk
from patchsync.errors import GiveUp
from patchsync.fleet.process_group import run_group

_OLD = re.compile(r"--- (\S+)")
_NEW = re.compile(r"\+\+\+ (\S+)")
_SIMILARITY = re.compile(r"similarity index (\d+)%$")
_RENAMED = re.compile(r"(?:rename|copy) (?:from|to) (.*)$")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@ ?(.*)")
_MERGE = re.compile(r"diff --cc .")
_CONTEXT_DIFF = re.compile(r"\*\*\*\s*\d+,\s*\d+\s*\*\*\*")
_CONTEXT_DIFF_WITHIN = 10  # lines
# It takes milliseconds.
FILTERDIFF_SECONDS = 20.0
_SAME = 100  # per cent: nothing follows but the two names
# Of files, and of hunks by heading: each costs time and memory with all it is compared with, and
# a line names one. A change of all of Linux has some ten thousand.
MOST_PARTS = 20_000

# Deletions and insertions, before they are a Hunk.
_Lists = tuple[list[str], list[str]]


class NoFilterdiff(Exception):
    """A context diff wants filterdiff (patchutils), which is not installed."""


class FilterdiffTooSlow(GiveUp):
    """filterdiff was stopped: a context diff took it too long."""


def read_diff(lines: list[str]) -> tuple[dict[FileKey, FileDiff], int]:
    """The files of a diff in their order, and the number of lines inserted or deleted.

    `lines` are without line ends. What belongs to no header or hunk is passed over, and so is a
    file of which nothing follows; empty lines are counted, but not kept.

    Raises:
        ValueError: PaStA cannot read the diff either, or it has too many files or hunks.
        NoFilterdiff, FilterdiffTooSlow: it is a context diff.
    """
    if any(map(_CONTEXT_DIFF.match, lines[:_CONTEXT_DIFF_WITHIN])):
        lines = _unified(lines)
    if lines and _MERGE.match(lines[0]):
        raise ValueError("the diff is a merge's")
    files: dict[FileKey, tuple[int, dict[str, _Lists]]] = {}
    changed = at = headings = 0
    while header := _next_header(lines, at):
        key, similarity, at = header
        if similarity == _SAME:
            files.setdefault(key, (similarity, {}))
            _demand_few(len(files), headings)
            continue
        while at < len(lines) and (begin := _HUNK.match(lines[at])):
            _, hunks = files.setdefault(key, (similarity, {}))
            old, new, heading = begin.groups()
            headings += heading not in hunks
            _demand_few(len(files), headings)
            into = hunks.setdefault(heading, ([], []))
            at, more = _read_hunk(lines, at + 1, int(old or 1), int(new or 1), into)
            changed += more
    return {key: _file(similarity, hunks) for key, (similarity, hunks) in files.items()}, changed


def _demand_few(files: int, headings: int) -> None:
    if max(files, headings) > MOST_PARTS:
        raise ValueError(f"the diff has more than {MOST_PARTS} files, or hunks")


def _unified(lines: list[str]) -> list[str]:
    """The unified diff that a context diff becomes."""
    program = shutil.which("filterdiff")
    if program is None:
        raise NoFilterdiff("a context diff, and filterdiff (patchutils) is not installed")
    try:
        done = run_group(
            [program, "--format=unified"],
            Path.cwd(),
            FILTERDIFF_SECONDS,
            text="\n".join(lines).encode(),
        )
    except subprocess.TimeoutExpired:
        raise FilterdiffTooSlow(
            f"filterdiff took longer than {FILTERDIFF_SECONDS:g} s for its context diff"
        ) from None
    if done.returncode:
        raise ValueError("filterdiff does not understand the context diff")
    return done.stdout.decode().split("\n")


def _next_header(lines: list[str], at: int) -> tuple[FileKey, int, int] | None:
    """Of the next file from `at`: key, similarity in per cent, index of the line after its names.

    None: no more file.
    """
    similarity = 0
    for here in range(at, len(lines)):
        line = lines[here]
        if old := _OLD.match(line):
            names = old[1], _name(_NEW, lines, here + 1)
            return _key(*names), similarity, here + 2
        if said := _SIMILARITY.match(line):
            similarity = int(said[1])
            if similarity == _SAME:
                names = _name(_RENAMED, lines, here + 1), _name(_RENAMED, lines, here + 2)
                return names, similarity, here + 3
    return None


def _name(expected: re.Pattern[str], lines: list[str], at: int) -> str:
    match = expected.match(lines[at]) if at < len(lines) else None
    if match is None:
        raise ValueError("the diff names a file once where two names belong")
    return match[1]


def _key(old: str, new: str) -> FileKey:
    old, new = _stripped(old), _stripped(new)
    return (old,) if old == new else (old, new)


def _stripped(name: str) -> str:
    """The name without the folder that diff puts before it, `a/` mostly."""
    name = name.removesuffix(".orig")
    return name if name == NO_FILE else name.split("/", 1)[-1]


def _read_hunk(lines: list[str], at: int, old: int, new: int, into: _Lists) -> tuple[int, int]:
    """Read the lines of a hunk from `at` on; `old` and `new`: how many the header says there are.

    Returns the index of the line after it, and how many lines it changes.
    """
    deletions, insertions = into
    changed, end = 0, len(lines)
    while old or new:  # what is left of them; below 0 they never end
        if at == end:
            raise ValueError("a hunk is not as long as its header says")
        line = lines[at]
        at += 1
        mark = line[:1]
        if mark == "+":
            new -= 1
            changed += 1
            if line != "+":
                insertions.append(line[1:])
        elif mark == "-":
            old -= 1
            changed += 1
            if line != "-":
                deletions.append(line[1:])
        # Mailers strip the space of an empty line, and put tabs and other spaces in its place.
        elif not mark or mark.isspace():
            old -= 1
            new -= 1
    return at, changed


def _file(similarity: int, hunks: dict[str, _Lists]) -> FileDiff:
    return FileDiff(
        similarity,
        {
            heading: Hunk(tuple(deletions), tuple(insertions))
            for heading, (deletions, insertions) in hunks.items()
        },
    )

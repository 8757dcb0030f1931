"""PaStA's result, `patch-groups`: which mails are revisions of one patch, and what is upstream.

A line is a group: its message-ids, then ` => ` and the commits where it is upstream, with one space
between. A line that begins with `=> ` has commits alone. Above 50 MiB the file is in parts,
`patch-groups.000`, `.001` and so on; where both are, the one file counts. PaStA writes in place: a
reader can meet a file that is half there.
"""

from __future__ import annotations

import json
import re
import sys
import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from glob import escape
from hashlib import blake2b
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

from patchsync.errors import StoreDamaged, TryAgainLater
from patchsync.store.files import read_file, storing
from patchsync.store.layout import message_id_fault

_ARROW = "=>"
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
# Message-ids alone, as in most lines: looked at faster than field by field
_PLAIN_LINE = re.compile(rb"[!-~]{1,998}(?: [!-~]{1,998})*\n")
_COMMITS_OF_LINES = re.compile(rb"=> [0-9a-f ]+$", re.MULTILINE)
_BLOCK = 2**20  # bytes of lines at a time
# Sets of a million numbers are large: half of all numbers are looked at, then the other half.
_HALVES = (-(2**63), 0, 2**63)
# What was written less than that before it was read may be written again without a trace: file
# systems tell times by ticks.
_TICK = 2 * 10**9  # nanoseconds, with room
_AGAIN = "PaStA is writing it, or was stopped while it did; run its analysis again if this stays"


class Group(NamedTuple):
    """Mails that are one patch, and the commits that it became. Both sorted, one may be empty."""

    message_ids: tuple[str, ...]
    commits: tuple[str, ...]


def format_group(message_ids: Iterable[str], commits: Iterable[str]) -> bytes:
    """The line of a group, with its newline; one of the two may be empty."""
    fields = sorted(message_ids)
    if upstream := sorted(commits):
        fields += [_ARROW, *upstream]
    return " ".join(fields).encode() + b"\n"


def line_hash(line: bytes) -> int:
    """The hash of a line, its newline included, as `Changes` has it."""
    digest = blake2b(line, digest_size=8).digest()
    return int.from_bytes(digest, sys.byteorder, signed=True)


def read_content(path: Path) -> bytes | None:
    """The bytes of the file `path`, or of its parts together; None where there is neither.

    Raises:
        TryAgainLater: it was written meanwhile, or cannot be read.
    """
    whole = read_file(path)
    if whole is not None:
        return whole
    contents = [read_file(part) for part in part_paths(path)]
    present = [content for content in contents if content is not None]
    if len(present) < len(contents):
        raise TryAgainLater(f"{path} was written while it was read")
    return b"".join(present) if present else None


def part_paths(path: Path) -> list[Path]:
    """The parts of the file `path` that are there, in order."""
    with storing(path):
        return sorted(path.parent.glob(escape(path.name) + ".[0-9][0-9][0-9]"))


def read_groups(path: Path) -> Iterator[Group]:
    """Yield the groups of the file `path`, or of its parts, in its order and in flat memory.

    Raises:
        TryAgainLater: it is absent, is being written, or was while it was read. What was yielded
            by then is not to be used.
        StoreDamaged: a line is no group; the message names file and line.
    """
    reading = _Reading(path)
    for part, first, lines in reading.blocks():
        for number, line in enumerate(lines, first):
            if line.strip():
                yield reading.group(part, number, line)
    reading.finish()


def read_groups_of(path: Path, message_ids: Set[str]) -> Iterator[tuple[int, Group]]:
    """Yield line's hash and group (see `Changes`) of the lines that name any of these mails.

    Raises as `read_groups`.
    """
    reading = _Reading(path)
    names = {message_id.encode() for message_id in message_ids}
    for part, first, lines in reading.blocks():
        if names.isdisjoint(_message_ids(lines)):
            continue
        for number, line in enumerate(lines, first):
            if not names.isdisjoint(_message_ids([line])):
                yield line_hash(line), reading.group(part, number, line)
    reading.finish()


class Changes:
    """The groups of a file whose lines are not among those that are done.

    Iterate once: each item is a line's hash and its group. When that has ended, and only then, what
    came is the truth, and `hashes` and `version` are known.
    """

    def __init__(self, path: Path, done: array[int], version: str | None = None) -> None:
        """`path`: as for `read_groups`; `done`: the `hashes` of before, less what is to come anew.

        Both are of the type 'q', as SQLite keeps numbers, and ascending. `version`: that of the
        reading whose `hashes` are `done`: where it is the same still, nothing is read.
        """
        self._path = path
        self._done = done
        self._done_version = version
        # Of all lines of the file.
        self.hashes: array[int] = array("q")
        # Another one where the file was written since; None where that could not be told.
        self.version: str | None = None

    def __iter__(self) -> Iterator[tuple[int, Group]]:
        """Yield hash and group of each line that is not done.

        Raises:
            TryAgainLater, StoreDamaged: as `read_groups`; also where a message-id stands twice.
        """
        reading = _Reading(self._path)
        if self._done and reading.version and reading.version == self._done_version:
            self.hashes, self.version = self._done, reading.version
            return
        hashes: array[int] = array("q")
        for _, _, lines in reading.blocks():
            hashes.frombytes(b"".join([blake2b(line, digest_size=8).digest() for line in lines]))
        # At the first time all are, and a set of them would be large.
        new, gone = _difference(hashes, self._done) if self._done else (None, set[int]())
        if new is None or new:
            yield from self._groups(reading, hashes, new)
        reading.finish()
        # Most are in order already.
        known = [number for number in self._done if number not in gone] if gone else self._done
        now = sorted(chain(known, hashes if new is None else new))
        self.hashes = array("q", now if len(now) == len(hashes) else sorted(hashes))
        self.version = reading.version

    def gone(self, before: array[int]) -> set[int]:
        """Which of the `hashes` of before are those of no line any more."""
        if not before or before == self.hashes:
            return set()
        return _difference(self.hashes, before)[1]

    def _groups(
        self, reading: _Reading, hashes: array[int], new: set[int] | None
    ) -> Iterator[tuple[int, Group]]:
        of_new: set[int] | None = None if new is None else set()
        at = 0
        for part, first, lines in reading.blocks():
            of_block = hashes[at : at + len(lines)]
            at += len(lines)
            if new is not None and new.isdisjoint(of_block):
                continue
            # Fewer hashes than lines: written in between, as the end will tell.
            for number, (line, line_hash) in enumerate(zip(lines, of_block, strict=False), first):
                if (new is None or line_hash in new) and line.strip():
                    group = reading.group(part, number, line)
                    if of_new is not None:
                        of_new.update(map(hash, _message_ids([line])))
                    yield line_hash, group
        # That no message-id stands in two lines that are done was found when they were new.
        reading.refuse_twice(of_new)


class _Part(NamedTuple):
    """A file, and what tells whether it was written since."""

    path: Path
    inode: int
    size: int  # bytes
    mtime: int  # nanoseconds
    ctime: int  # the same; a copy that keeps the former sets it, too


class _Reading:
    """The file or its parts, as they were when the reading began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        began = time.time_ns()
        self._parts = _parts(path)
        for part in self._parts:
            self._expect_whole(part)
        # What was written just now may be written again, of the same size, within a tick.
        settled = all(part.mtime < began - _TICK for part in self._parts)
        facts = [(part.path.name, *part[1:]) for part in self._parts]
        self.version = json.dumps(facts) if settled else None

    def blocks(self) -> Iterator[tuple[Path, int, list[bytes]]]:
        """Yield file, number of the first line, and lines, some at a time."""
        for part in self._parts:
            with storing(part.path), part.path.open("rb") as file:
                number = 1
                while lines := file.readlines(_BLOCK):
                    yield part.path, number, lines
                    number += len(lines)

    def group(self, part: Path, number: int, line: bytes) -> Group:
        """The group that a line is."""
        if _PLAIN_LINE.fullmatch(line) and b"=>" not in line:
            plain = line.decode().split()
            if len(set(plain)) == len(plain):
                return Group(tuple(sorted(plain)), ())
        try:
            text = line.decode().removesuffix("\n")
        except UnicodeDecodeError:
            self._damaged(part, number, "it is not UTF-8")
        before, arrow, after = _split_at_arrow(text)
        message_ids, commits = list(filter(None, before)), list(filter(None, after))
        for message_id in message_ids:
            if fault := message_id_fault(message_id):
                self._damaged(part, number, fault)
        if len(set(message_ids)) < len(message_ids):
            self._damaged(part, number, "a message-id stands in it twice")
        if arrow and not commits:
            self._damaged(part, number, f"no commit follows {_ARROW!r}")
        for commit in commits:
            if not _COMMIT.fullmatch(commit):
                self._damaged(part, number, f"{commit[:100]!r} is no commit's hash")
        return Group(tuple(sorted(message_ids)), tuple(sorted(set(commits))))

    def refuse_twice(self, among: Set[int] | None) -> None:
        """Raise StoreDamaged if a message-id stands in two lines.

        `among`: only if it is one that has a hash of these.
        """
        numbers: array[int] = array("q")
        for _, _, lines in self.blocks():
            found = map(hash, _message_ids(lines))
            numbers.extend(found if among is None else filter(among.__contains__, found))
        suspects = set(_twice(numbers))
        if not suspects:
            return
        seen: dict[bytes, tuple[Path, int]] = {}
        for part, first, lines in self.blocks():
            for number, line in enumerate(lines, first):
                for message_id in _message_ids([line]):
                    if hash(message_id) not in suspects:
                        continue
                    if before := seen.get(message_id):
                        where = f"{before[0]}, line {before[1]}"
                        name = message_id.decode(errors="replace")
                        self._damaged(part, number, f"{name} stands in {where} too")
                    seen[message_id] = part, number

    def finish(self) -> None:
        """Raise TryAgainLater if anything was written since the reading began."""
        if _parts(self._path) != self._parts:
            raise TryAgainLater(f"{self._path} was written while it was read")

    def _damaged(self, part: Path, number: int, fault: str) -> NoReturn:
        self.finish()
        raise StoreDamaged(f"{part}, line {number}: not a group of mails: {fault}; correct it")

    def _expect_whole(self, part: _Part) -> None:
        with storing(part.path), part.path.open("rb") as file:
            file.seek(max(part.size - 1, 0))
            if file.read(1) != b"\n":
                how = "ends within a line" if part.size else "is empty"
                raise TryAgainLater(f"{part.path} {how}: {_AGAIN}")


def _parts(path: Path) -> list[_Part]:
    """The files that hold the groups, in order, as PaStA would choose them.

    Raises TryAgainLater where there are none, or not all of the parts.
    """
    with storing(path):
        paths = [path]
        if not path.exists():
            paths = part_paths(path)
            if not paths:
                raise TryAgainLater(f"{path} is not there yet: PaStA's analysis writes it")
            # What fits into one part is not split.
            numbers = [int(part.suffix[1:]) for part in paths]
            if numbers != list(range(max(len(paths), 2))):
                raise TryAgainLater(f"{path}.000 and so on are not all there: {_AGAIN}")
        stats = [(part, part.stat()) for part in paths]
    return [
        _Part(part, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for part, stat in stats
    ]


def _split_at_arrow(line: str) -> tuple[list[str], bool, list[str]]:
    """The fields before the arrow, whether there is one, and the fields after it.

    A message-id may end as the arrow looks, so it counts only as a field of its own.
    """
    fields = line.split(" ")
    if _ARROW not in fields:
        return fields, False, []
    at = fields.index(_ARROW)
    return fields[:at], True, fields[at + 1 :]


def _message_ids(lines: list[bytes]) -> list[bytes]:
    text = b"".join(lines)
    if b"=> " in text:
        text = _COMMITS_OF_LINES.sub(b"", text)
    return text.split()


def _difference(numbers: array[int], done: array[int]) -> tuple[set[int], set[int]]:
    """Those of the numbers that are not in `done`, which is ascending, and the other way round."""
    new, gone = set[int](), set[int]()
    for low, high in pairwise(_HALVES):
        known = set(done[bisect_left(done, low) : bisect_left(done, high)])
        present = {number for number in numbers if low <= number < high}
        new |= present - known
        gone |= known - present
    return new, gone


def _twice(numbers: array[int]) -> Iterator[int]:
    """Those of the numbers that come more than once."""
    for low, high in pairwise(_HALVES):
        half = [number for number in numbers if low <= number < high]
        if len(set(half)) < len(half):
            yield from (number for number, times in Counter(half).items() if times > 1)

"""Writing the file patch-groups: all of it, or only the lines that change.

Whoever reads, also after a kill or a power loss in between, finds the old or the new content: no
file is written in place. So what changes in one file is written with all of that file, or of the
part of it: 50 MiB at most. In proportion to the list is only what concerns two parts at once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.groups import part_paths
from patchsync.errors import TryAgainLater
from patchsync.store.files import make_folder, storing, sync_folder

SPLIT_LIMIT = 50 * 2**20  # bytes above which the file is in parts, as in PaStA
PART_SIZE = 4 * 2**20  # bytes of a part when all is written. PaStA takes any, and fills them.
_BLOCK = 2**20  # bytes that are copied at a time
_LINE = 4096  # bytes that most lines are shorter than
# Lines of commits alone stand last.
_COMMITS_ALONE = b"=> "


class Look(NamedTuple):
    """How a file looks without being read; whoever writes it changes that."""

    name: str
    inode: int
    size: int  # bytes
    # In nanoseconds: when it was written; and, which nobody can set, when anything of it changed
    written: int
    changed: int


# Of the file; where it is not there, of its parts
Looks = tuple[Look, ...]


def place(line: bytes) -> tuple[bool, bytes]:
    """What lines are sorted by."""
    return line.startswith(_COMMITS_ALONE), line


def looks_of(path: Path) -> Looks:
    """How patch-groups looks now: what counts of it. Raises StoreUnavailable."""
    # Where both are, somebody was killed while the file became parts, or they became others.
    return _looks_of([path]) or _looks_of(part_paths(path))


def _looks_of(files: Iterable[Path]) -> Looks:
    looks = []
    for file in files:
        with storing(file), suppress(FileNotFoundError):
            looks.append(_look(file.name, file.stat()))
    return tuple(looks)


def write_content(path: Path, content: bytes, limit: int = SPLIT_LIMIT) -> Looks | None:
    """Replace all by `content`, durably; in parts where it is larger than `limit` bytes.

    Returns how it looks then; None where the file system's times would not tell a later write. To
    be called under a lock. Raises StoreUnavailable.
    """
    looks = [_replace(path, [content])]
    parts = []
    if len(content) > limit:
        with storing(path):
            # From here on it counts, whatever the parts are.
            sync_folder(path.parent)
        looks.clear()
        for number, part in enumerate(_split_into_parts(content, min(limit, PART_SIZE))):
            parts.append(path.with_name(f"{path.name}.{number:03}"))
            looks.append(_replace(parts[-1], [part]))
    with storing(path):
        for old in set(part_paths(path)).difference(parts):
            old.unlink()
        if parts:
            # Before the parts count, those of before have to be gone for good.
            sync_folder(path.parent)
            path.unlink()
        sync_folder(path.parent)
    return _all(looks)


class Edit:
    """Lines that are to come into patch-groups, and others that are to go.

    The lines of the file are in order of `place`. Those that are to come and are there already, or
    to go and are not there, make no difference.
    """

    def __init__(
        self, path: Path, looks: Looks, gone: Iterable[bytes], new: Iterable[bytes]
    ) -> None:
        """`looks`: how it looks, and has to look still when it is written; of one file at least.

        Raises TryAgainLater where it does not look so any more.
        """
        self._path = path
        self._looks = looks
        # By part: where a line stands or is to stand, the line, and whether it is to come
        self._changes: dict[int, list[tuple[int, bytes, bool]]] = defaultdict(list)
        self.gone: list[bytes] = []
        self.new: list[bytes] = []
        wanted = set(new)
        with storing(path):
            firsts = [place(self._line_at(part, 0)[1]) for part in range(len(looks))]
            for line in sorted(wanted.symmetric_difference(gone), key=place):
                part = max(0, bisect_right(firsts, place(line)) - 1)
                at, is_there = self._find(part, line)
                if is_there != (line in wanted):
                    self._changes[part].append((at, line, line in wanted))
                    (self.new if line in wanted else self.gone).append(line)
        self._demand(looks_of(path) == looks)

    def write(self, limit: int = SPLIT_LIMIT) -> Looks | None:
        """Replace what has to be; see `write_content`.

        Raises TryAgainLater where somebody else wrote it since.
        """
        sizes = [
            look.size + sum(len(line) if new else -len(line) for _, line, new in self._changes[at])
            for at, look in enumerate(self._looks)
        ]
        self._demand(looks_of(self._path) == self._looks)
        changed = [at for at, changes in self._changes.items() if changes]
        is_whole = self._looks[0].name == self._path.name
        most = limit if is_whole else min(limit, 2 * PART_SIZE)
        if is_whole == (sum(sizes) > limit) or not all(0 < sizes[at] <= most for at in changed):
            return write_content(self._path, b"".join(self._all_pieces()), limit)
        folder = self._path.parent
        if len(changed) > 1:
            _replace(self._path, self._all_pieces())
            with storing(folder):
                # From here on it counts, until all of the parts are there.
                sync_folder(folder)
        looks: list[Look | None] = list(self._looks)
        for part in changed:
            looks[part] = _replace(self._file(part), self._pieces(part))
        with storing(folder):
            sync_folder(folder)
            if len(changed) > 1:
                self._path.unlink()
                sync_folder(folder)
        return _all(looks)

    def _all_pieces(self) -> Iterator[bytes]:
        """The new content."""
        for part in range(len(self._looks)):
            yield from self._pieces(part)

    def _file(self, part: int) -> Path:
        return self._path.with_name(self._looks[part].name)

    def _pieces(self, part: int) -> Iterator[bytes]:
        """The new content of a part."""
        with self._file(part).open("rb") as file:
            at = 0
            for start, line, is_new in sorted(self._changes[part], key=lambda each: each[0]):
                yield from self._copied(file.fileno(), at, start)
                at = start
                if is_new:
                    yield line
                else:
                    at += len(line)
            yield from self._copied(file.fileno(), at, self._looks[part].size)
        now = self._file(part)
        self._demand(now.exists() and _look(now.name, now.stat()) == self._looks[part])

    def _copied(self, fd: int, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = os.pread(fd, min(_BLOCK, end - start), start)
            self._demand(piece)
            yield piece
            start += len(piece)

    def _find(self, part: int, line: bytes) -> tuple[int, bool]:
        """Where the first line begins that does not stand before this one; whether it is this."""
        low, high = 0, self._looks[part].size
        is_there = False
        while low < high:
            start, other = self._line_at(part, (low + high) // 2)
            if place(other) < place(line):
                low = start + len(other)
            else:
                high = start
                is_there = other == line
        return low, is_there

    def _line_at(self, part: int, offset: int) -> tuple[int, bytes]:
        """The line, with its start, that the byte at an offset is of; an empty one at the end."""
        if offset >= self._looks[part].size:
            return offset, b""
        with self._file(part).open("rb") as file:
            room = _LINE
            while True:
                begin = max(0, offset - room)
                read = os.pread(file.fileno(), 2 * room, begin)
                start = read.rfind(b"\n", 0, offset - begin) + 1
                end = read.find(b"\n", offset - begin) + 1
                if end and (start or not begin):
                    return begin + start, read[start:end]
                self._demand(room < self._looks[part].size)
                room *= 2

    def _demand(self, is_so: object) -> None:
        if not is_so:
            raise TryAgainLater(f"{self._path} was written by somebody else at this moment")


def _replace(path: Path, pieces: Iterable[bytes]) -> Look | None:
    """Replace a file, and return how it looks; None where that does not tell a later write.

    The name is to be made durable still.
    """
    fresh = path.with_name(f"{path.name}.new")
    with storing(path):
        make_folder(path.parent)
        try:
            with fresh.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                # The clock of files stands still for milliseconds: what somebody writes at once
                # would have the same time. So this is given one that no write has from now on.
                earlier = os.fstat(file.fileno()).st_mtime_ns - 1
                os.utime(file.fileno(), ns=(earlier, earlier))
                os.fsync(file.fileno())
                fresh.replace(path)
                look = _look(path.name, os.fstat(file.fileno()))
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
    # Else the clock has whole seconds, or somebody wrote it already.
    return look if look.written == earlier else None


def _look(name: str, stat: os.stat_result) -> Look:
    return Look(name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _all(looks: list[Look | None]) -> Looks | None:
    found = tuple(look for look in looks if look is not None)
    return found if len(found) == len(looks) else None


def _split_into_parts(content: bytes, limit: int) -> Iterator[bytes]:
    """Whole lines, as many as fit; a line that is longer than `limit` is a part of its own."""
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + limit) + 1
        if start + limit >= len(content):
            end = len(content)
        elif not end:
            end = content.find(b"\n", start) + 1 or len(content)
        yield content[start:end]
        start = end

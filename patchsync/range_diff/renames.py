"""Which files of a commit git takes for renamed: it and libgit2 measure likeness differently."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from stat import S_ISREG
from typing import NamedTuple

from pygit2 import Blob, DiffFile, Repository

# git's: so much of the larger file must be in both, and more where only the name is looked at.
_ALL = 60_000
_ENOUGH = 30_000
_ENOUGH_BY_NAME = 45_000
_CANDIDATES = 4
# Beyond it none is compared with all others; it takes some seconds. (git's limit is a million.)
_MOST_COMPARED = 100_000
_LARGEST_BYTES = 512 * 1024
# Where a NUL makes a file binary
_LOOKED_AT = 8000
# git counts lines, and what is longer in such pieces; since 2.44 a last line without its end, too.
_PIECE = re.compile(rb"[^\n]{0,63}\n|[^\n]{64}|[^\n]+")


@dataclass(frozen=True, eq=False)
class _File:
    """A file that came or went."""

    repository: Repository
    path: bytes
    blob_id: str
    mode: int

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    @cached_property
    def size(self) -> int:
        return self._blob.size

    @cached_property
    def pieces(self) -> Mapping[int, int]:
        """How many bytes of it are in pieces of each hash."""
        content = self._blob.data
        if b"\0" not in content[:_LOOKED_AT]:
            content = content.replace(b"\r\n", b"\n")
        pieces: Counter[int] = Counter()
        for piece, times in Counter(_PIECE.findall(content)).items():
            pieces[_hash(piece)] += len(piece) * times
        return pieces

    @property
    def _blob(self) -> Blob:
        return self.repository[self.blob_id].peel(Blob)


def find_renames(
    repository: Repository, gone: Sequence[DiffFile], new: Sequence[DiffFile]
) -> dict[bytes, bytes]:
    """By the path of a new file that of the one that it was; both are in order of path."""
    search = _Search(*([_file(repository, each) for each in side] for side in (gone, new)))
    search.same_content()
    search.same_name()
    if len(search.gone) * len(search.new) <= _MOST_COMPARED:
        search.most_alike()
    return search.renames


def _file(repository: Repository, file: DiffFile) -> _File:
    return _File(repository, file.raw_path, str(file.id), int(file.mode))


class _Alike(NamedTuple):
    score: int
    same_name: bool
    old: _File
    new: _File

    def rank(self) -> tuple[int, bool]:
        return self.score, self.same_name


class _Search:
    """What is renamed, and what is left to look at; in the order of git's diffcore-rename."""

    def __init__(self, gone: list[_File], new: list[_File]) -> None:
        self.gone = gone
        self.new = new
        self.renames: dict[bytes, bytes] = {}

    def same_content(self) -> None:
        """First the files that are as they were, of one name where there are several."""
        by_content: dict[str, list[_File]] = defaultdict(list)
        for old in self.gone:
            by_content[old.blob_id].append(old)
        for new in list(self.new):
            same = by_content[new.blob_id]
            alike = [
                old
                for old in same
                if old.mode == new.mode or (S_ISREG(old.mode) and S_ISREG(new.mode))
            ]
            if alike:
                old = next((old for old in alike if old.name == new.name), alike[0])
                same.remove(old)
                self._rename(old, new)

    def same_name(self) -> None:
        """Then those whose name there is once on each side."""
        old_names, new_names = (_by_name(files) for files in (self.gone, self.new))
        for name, olds in old_names.items():
            news = new_names.get(name, [])
            if len(olds) == len(news) == 1 and _likeness(olds[0], news[0]) >= _ENOUGH_BY_NAME:
                self._rename(olds[0], news[0])

    def most_alike(self) -> None:
        """At last each with each, the most alike first."""
        found = [best for new in self.new for best in self._best(new)]
        found.sort(key=_Alike.rank, reverse=True)
        for alike in found:
            if alike.score >= _ENOUGH and alike.old in self.gone and alike.new in self.new:
                self._rename(alike.old, alike.new)

    def _best(self, new: _File) -> list[_Alike]:
        """The few files that the new one is most alike; of equal ones in git's order."""
        best: list[_Alike] = []
        for old in self.gone:
            alike = _Alike(_likeness(old, new), old.name == new.name, old, new)
            if len(best) < _CANDIDATES:
                best.append(alike)
                continue
            worst = min(range(_CANDIDATES), key=lambda at: best[at].rank())
            if alike.rank() > best[worst].rank():
                best[worst] = alike
        return best

    def _rename(self, old: _File, new: _File) -> None:
        self.renames[new.path] = old.path
        self.gone.remove(old)
        self.new.remove(new)


@lru_cache(100_000)
def _hash(piece: bytes) -> int:
    """git's, so small that two lines of two files may have the same; they count as equal then."""
    value = 0
    for byte in piece:
        value = ((value << 7 | value >> 57) + (byte << 32)) & 0xFFFF_FFFF_FFFF_FFFF
    return ((value >> 32) + (value & 0xFFFF_FFFF) * 0x61 & 0xFFFF_FFFF) % 107_927


def _by_name(files: Iterable[_File]) -> dict[bytes, list[_File]]:
    by_name: dict[bytes, list[_File]] = defaultdict(list)
    for file in files:
        by_name[file.name].append(file)
    return dict(by_name)


def _likeness(old: _File, new: _File) -> int:
    """How much of the larger one is in both, up to `_ALL`."""
    if not (S_ISREG(old.mode) and S_ISREG(new.mode)):
        return 0
    smaller, larger = sorted((old.size, new.size))
    if not new.size or larger > _LARGEST_BYTES or smaller * _ALL < larger * _ENOUGH:
        return 0
    both = sum(min(size, new.pieces.get(piece, 0)) for piece, size in old.pieces.items())
    return both * _ALL // larger

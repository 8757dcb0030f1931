"""Which ranges of ids were listed, and when, so that the audit of a sync need not list them again.

One answer that lists a range, and holds there just what we hold, proves as much as a page of an
audit does. So the index worker notes of each page that was fetched the lowest and highest id, a
digest of all ids between, and when it was asked for. A note counts only while what we hold there
has that digest: whatever was lost, came late or went away since, the audit asks for the range.

A note that is lost costs a request, one that comes twice nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from patchsync.errors import PatchsyncError
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.files import numbered_lines, storing
from patchsync.store.layout import ContainerPaths
from patchsync.sync.id_set import IdSet

log = logging.getLogger(__name__)

# Notes of some ten thousand pages; what would be more begins anew.
MOST_BYTES = 2**20


@dataclass(frozen=True)
class _Note:
    """What one answer listed."""

    low: int
    high: int
    digest: str
    # When it was asked for, at the earliest: by Redis' clock, in seconds since 1970
    at: float

    def __str__(self) -> str:
        return f"{self.low} {self.high} {self.digest} {self.at:.6f}\n"


def note_listed(paths: ContainerPaths, result: FetchResult) -> None:
    """Note what one answer listed, once it is stored and its message-ids were compared.

    To be called under the project's Redis lock. What is in the way is logged, and holds up nothing.
    """
    if not result.listed_at or not result.listed:
        return
    ids = sorted(patch_id for patch_id, _ in result.listed)
    note = _Note(ids[0], ids[-1], _digest(ids), result.listed_at)
    try:
        with storing(paths.listed):
            fd = os.open(paths.listed, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.fstat(fd).st_size > MOST_BYTES:
                    os.ftruncate(fd, 0)
                os.write(fd, str(note).encode())
            finally:
                os.close(fd)
    except PatchsyncError as error:
        log.warning("what was listed is not noted, so an audit lists it again: %s", error)


class ListedRanges:
    """The ranks of those known ids that answers since some time have listed, and no others there.

    A rank is how many known ids lie below an id. Between two answers that only touch each other
    there may be a patch that none of them listed: one that went away elsewhere moved it from the
    one page to the other.
    """

    def __init__(self, ranks: Iterable[tuple[int, int]] = ()) -> None:
        """`ranks`: from each, to before the other; in any order."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(ranks):
            if self._ends and start < self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            elif start < end:
                self._starts.append(start)
                self._ends.append(end)

    @classmethod
    def of(cls, paths: ContainerPaths, known: IdSet, *, since: float, now: float) -> ListedRanges:
        """Those that were asked for since then, as far as we still hold what was listed.

        `since`, `now`: by Redis' clock, in seconds since 1970. Where a note is of a time to come
        that clock was set back, and none can be trusted.

        Raises:
            StoreUnavailable: the notes cannot be read.
        """
        notes = list(_notes(paths))
        if any(note.at > now for note in notes):
            with storing(paths.listed):
                paths.listed.unlink(missing_ok=True)
            return cls()
        ranks = ((note, known.rank(note.low), known.rank(note.high + 1)) for note in notes)
        return cls(
            (start, end)
            for note, start, end in ranks
            if note.at >= since and _digest(known.slice(start, end)) == note.digest
        )

    def borders(self, start: int, end: int) -> list[int] | None:
        """Where what was listed begins or ends, from the rank `start` up to and with `end`.

        Whoever knows that nothing unknown lies just below these knows that all from `start` to
        before `end` was listed. None if some of these were not.
        """
        first = place = bisect_right(self._starts, start) - 1
        if place < 0 or self._ends[place] <= start:
            return None
        while self._ends[place] < end:
            place += 1
            if place == len(self._starts) or self._starts[place] > self._ends[place - 1]:
                return None
        edges = [*self._starts[first : place + 1], self._ends[place]]
        return [edge for edge in edges if start <= edge <= end]


def _notes(paths: ContainerPaths) -> Iterator[_Note]:
    """Those that are whole: the last one may be torn, and is as if it had been lost."""
    for _, line in numbered_lines(paths.listed):
        try:
            low, high, digest, at = line.split()
            yield _Note(int(low), int(high), digest, float(at))
        except ValueError:
            continue


def _digest(ids: Iterable[int]) -> str:
    return hashlib.md5(array("q", ids).tobytes(), usedforsecurity=False).hexdigest()

"""The ids that we know, and how one answer of the server changes them.

Two answers are never compared with each other, because patches come and go between them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import ge

from patchsync.patchwork.paging import Answer


def _ascending(ids: Iterable[int]) -> array[int]:
    """The ids in order, each once: an array that is so already, itself."""
    given = ids if isinstance(ids, array) else array("q", ids)
    if any(map(ge, given, islice(given, 1, None))):
        return array("q", sorted(set(given)))
    return given


def _without(ids: array[int], gone: Iterable[int]) -> array[int]:
    """`ids` without those of them that are `gone`; copied in pieces, as there may be millions."""
    left, start = array("q"), 0
    for rank in sorted(bisect_left(ids, patch_id) for patch_id in gone):
        left += ids[start:rank]
        start = rank + 1
    left += ids[start:]
    return left


def _holds(ids: Sequence[int], patch_id: int) -> bool:
    rank = bisect_left(ids, patch_id)
    return rank < len(ids) and ids[rank] == patch_id


@dataclass(frozen=True)
class Seen:
    """What an answer changes: known ids now gone, gone ones now back, listed ones not held."""

    gone: frozenset[int]
    back: frozenset[int]
    missing: tuple[int, ...]


class IdSet:
    """The ids that are stored or quarantined, and not gone, in order. A million take 8 MB."""

    def __init__(self, held: Iterable[int], gone: Iterable[int] = ()) -> None:
        """`held`: all ids stored or quarantined; `gone`: those that the server was seen without.

        An array of ids in order is taken over, not copied.
        """
        ids = _ascending(held)
        self._gone = {patch_id for patch_id in gone if _holds(ids, patch_id)}
        if self._gone:
            ids = _without(ids, self._gone)
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, patch_id: object) -> bool:
        return isinstance(patch_id, int) and _holds(self._ids, patch_id)

    @property
    def highest(self) -> int | None:
        return self._ids[-1] if self._ids else None

    @property
    def gone(self) -> frozenset[int]:
        """The ids that are held and gone."""
        return frozenset(self._gone)

    def rank(self, patch_id: float) -> int:
        """How many known ids lie below this one."""
        return bisect_left(self._ids, patch_id)

    def between(self, low: float, high: float) -> int:
        """How many known ids lie from `low` to before `high`."""
        return self.rank(high) - self.rank(low)

    def slice(self, start: int, end: int) -> tuple[int, ...]:
        """The known ids with the ranks from `start` to before `end`, as far as there are any."""
        return tuple(self._ids[max(start, 0) : max(end, 0)])

    def add(self, patch_ids: Iterable[int]) -> None:
        """Has these known too; they are not gone."""
        new = _ascending(array("q", (patch_id for patch_id in patch_ids if patch_id not in self)))
        if new:
            self._gone.difference_update(new)
            self._ids = array("q", merge(self._ids, new))

    def see(self, answer: Answer) -> Seen:
        """Takes over what an answer proves, and says what that changes."""
        back = self._gone.intersection(answer.ids)
        missing = tuple(i for i in answer.ids if i not in self and i not in back)
        gone = frozenset(answer.proves_gone(self._ids))
        if gone:
            # At once: each deletion on its own would move all that lies behind it.
            start, end = self.rank(min(gone)), self.rank(max(gone)) + 1
            left = [i for i in self._ids[start:end] if i not in gone]
            self._ids[start:end] = array("q", left)
        for patch_id in back:
            insort(self._ids, patch_id)
        self._gone.difference_update(back)
        self._gone.update(gone)
        return Seen(gone, frozenset(back), missing)

    def see_none(self) -> Seen:
        """Takes over that the project exists and has no patch."""
        gone = frozenset(self._ids)
        self._gone |= gone
        self._ids = array("q")
        return Seen(gone, frozenset(), ())

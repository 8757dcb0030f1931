"""The ids that we know, and what one answer of the server proves about them.

A patch that is deleted, or moved to another project, leaves no trace in Patchwork: that it is gone
shows only in an answer that would have to list it and does not. Two answers are never compared with
each other, because patches come and go between them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from heapq import merge
from itertools import pairwise
from math import inf
from typing import Any, Literal

from patchsync.errors import GiveUp, NotPatchwork

Order = Literal["id", "-id"]


@dataclass(frozen=True)
class Page:
    """One page of `GET patches/?project=P`: `per_page` at most 250, `page` from 1."""

    order: Order
    per_page: int
    page: int

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Page:
        """Read what `dataclasses.asdict` made of a page; GiveUp if it is something else."""
        try:
            page = cls(**message)
            usable = page.order in ("id", "-id") and 0 < page.per_page <= 250 and page.page > 0
        except TypeError:
            usable = False
        if not usable:
            raise GiveUp(f"{message!r} is not like {asdict(cls('-id', 250, 1))!r}")
        return page

    def positions(self, count: int) -> tuple[int, int]:
        """The positions that it lists of `count` patches in ascending order: from, to before."""
        start, end = (self.page - 1) * self.per_page, self.page * self.per_page
        if self.order == "-id":
            start, end = count - end, count - start
        return max(start, 0), min(end, count)


@dataclass(frozen=True)
class Answer:
    """What the server listed for a page; `NotPatchwork` if not in the order asked for."""

    page: Page
    # (id, message-id) as listed
    entries: tuple[tuple[int, str], ...]
    # There is no rel="next". This proves no end: the server counts first and lists later, so that a
    # patch which appears in between pushes another one off the last page.
    last: bool

    def __post_init__(self) -> None:
        if list(self.ids) != sorted(set(self.ids), reverse=self.page.order == "-id"):
            raise NotPatchwork(f"the server ignores order={self.page.order} in its list of patches")

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(patch_id for patch_id, _ in self.entries)

    @property
    def first(self) -> bool:
        return self.page.page == 1

    def gaps(self) -> list[tuple[float, float]]:
        """The stretches in which the server had no patch: pairs of ids, both exclusive.

        They lie between two neighbours of this answer, below the first of the ascending page 1 and
        above the first of the descending page 1. An empty answer has none: an unknown project is
        answered like that.
        """
        ids = sorted(self.ids)
        gaps: list[tuple[float, float]] = list(pairwise(ids))
        if ids and self.first:
            gaps.append((-inf, ids[0]) if self.page.order == "id" else (ids[-1], inf))
        return gaps


def absent(answer: Answer, held: Sequence[int]) -> list[int]:
    """The ids of `held` that this one answer proves gone, in ascending order.

    `held` must have been drawn before the answer was asked for.
    """
    return sorted(_within(answer.gaps(), sorted(held)))


def _within(gaps: Iterable[tuple[float, float]], ids: Sequence[int]) -> list[int]:
    """Those of the sorted `ids` that lie inside a gap."""
    found: list[int] = []
    for low, high in gaps:
        found += ids[bisect_right(ids, low) : bisect_left(ids, high)]
    return found


def _ascending(ids: Iterable[int]) -> array[int]:
    """The ids in order, each once. Those that are so already cost 8 bytes each, and no more."""
    found = ids if isinstance(ids, array) else array("q", ids)
    if any(low >= high for low, high in pairwise(found)):
        return array("q", sorted(set(found)))
    return found[:]


def _holds(ids: Sequence[int], patch_id: int) -> bool:
    rank = bisect_left(ids, patch_id)
    return rank < len(ids) and ids[rank] == patch_id


@dataclass(frozen=True)
class Seen:
    """What an answer changes: known ids now gone, gone ones now back, listed ones not held."""

    gone: frozenset[int]
    back: frozenset[int]
    missing: tuple[int, ...]


class Known:
    """The ids that are stored or set aside and not gone, in order. A million of them take 8 MB."""

    def __init__(self, held: Iterable[int], gone: Iterable[int] = ()) -> None:
        """`held`: all ids stored or set aside; `gone`: those that the server was seen without."""
        ids = _ascending(held)
        self._gone = {each for each in gone if _holds(ids, each)}
        if self._gone:
            ids = array("q", (each for each in ids if each not in self._gone))
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
        new = _ascending(array("q", (each for each in patch_ids if each not in self)))
        self._gone.difference_update(new)
        self._ids = array("q", merge(self._ids, new))

    def see(self, answer: Answer) -> Seen:
        """Takes over what an answer proves, and says what that changes."""
        back = self._gone.intersection(answer.ids)
        missing = tuple(i for i in answer.ids if i not in self and i not in back)
        gone = frozenset(_within(answer.gaps(), self._ids))
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

"""Pages of Patchwork's list of patches, and what one answer proves of the ids that we hold.

A patch that is deleted, or moved to another project, leaves no trace in Patchwork: that it is gone
shows only in an answer that would have to list it and does not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf
from typing import Any, Literal

from patchsync.errors import GiveUp, NotPatchwork

# Patchwork lists at most so many of anything per page, whatever it is asked for.
LARGEST_PAGE = 250

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
            usable = (
                page.order in ("id", "-id") and 0 < page.per_page <= LARGEST_PAGE and page.page > 0
            )
        except TypeError:
            usable = False
        if not usable:
            raise GiveUp(f"{message!r} is not like {asdict(cls('-id', LARGEST_PAGE, 1))!r}")
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

    def proves_gone(self, held: Sequence[int]) -> list[int]:
        """The ids of `held` that this one answer proves gone; both in ascending order.

        `held` must have been drawn before the answer was asked for.
        """
        gone: list[int] = []
        for low, high in sorted(self.gaps()):
            gone += held[bisect_right(held, low) : bisect_left(held, high)]
        return gone

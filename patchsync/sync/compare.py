"""What differs between Patchwork and our store, found with few requests.

Two numbers decide: the server's highest id and its count. Where they are not ours, the list is
bisected: in order of id both sides are sorted, and the server's can be read at any position. A
stretch in which both have equally many is taken as equal; the others are narrowed down to pages,
and only these are fetched. Nothing is remembered between rounds: what was lost, doubled or late is
met by the next one. One patch gone and one that appeared late below the highest hide each other
here; the audit finds them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from patchsync.errors import UnknownProject
from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.sync.id_set import IdSet, Seen

# A message to a fetch task names at most so many of our ids. More than that can lie in the range of
# one page only if many of them are gone; then the page is looked at here first.
HELD = 500

# A project of which we know no more is asked for its newest from the other end: some 0.1 s of the
# server at most, where the usual way takes seconds if the list is silent for long (docs/sync.md).
FEW = 10_000

# So many of our ids are named beyond each end of a page, in case it has shifted when it is fetched.
SLACK = 25


class Remote(Protocol):
    """One project on a Patchwork server."""

    def newest(self, *, few: bool = False) -> tuple[int | None, int]:
        """The highest id (None: no patch) and the count, in one request.

        `few`: the project should have no more than `FEW`.
        """

    def list_page(self, page: Page) -> Answer | None:
        """What the page lists; None if it lies past the end (404)."""

    def exists(self) -> bool:
        """Whether `GET /projects/P/` finds it: an unknown project lists as an empty one."""


@dataclass(frozen=True)
class PageToFetch:
    """A page to fetch: list it, download what is not in `held`, report what is proved gone.

    `held`: our ids, ascending, that the page may list.
    """

    page: Page
    held: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The outcome of one comparison."""

    # The server's numbers
    highest: int | None
    count: int
    # How many we know, with `gone` and `back` applied
    known: int
    # Highest and count are ours, with `gone` and `back` applied
    in_sync: bool
    # Newest first
    want: tuple[PageToFetch, ...]
    # What the comparison's own requests proved, where it changes something
    gone: frozenset[int]
    back: frozenset[int]
    requests: int


def compare(
    remote: Remote, known: IdSet, window: int, in_flight: Collection[Page] = ()
) -> Comparison:
    """One round: where the two sides differ, as at most `window` (>= 1) pages to fetch.

    `in_flight`: pages that are being fetched. What lies between the first and the last of them is
    not looked at, for it changes now: a later round does, when they are stored.

    `known` is the round's own view and changes with what is seen. When the pages are fetched and
    what they showed is applied, the next round goes on, until one is in sync. Raises
    `UnknownProject`.
    """
    look = _Look(remote, known)
    want: list[PageToFetch] = []
    in_sync = look.count == len(known) and look.highest == known.highest
    if not in_sync:
        if not in_flight:
            want = _new_at_the_end(look, window)
        want = want or _bisect(look, window, in_flight)
    return Comparison(
        highest=look.highest,
        count=look.count,
        known=len(known),
        in_sync=in_sync,
        want=tuple(want),
        gone=frozenset(look.gone),
        back=frozenset(look.back),
        requests=look.requests,
    )


def page_across(position: int, count: int) -> Page:
    """A small page with those at `position` - 1 and at `position`, 0 <= `position` < `count`.

    It counts from the nearer end, because the server's cost grows with the distance.
    """
    if position == 0:
        return Page("id", 1, 1)
    backwards = 2 * position > count
    distance = count - position if backwards else position
    per_page = 2
    while distance % per_page == 0:  # else a page would begin between the two
        per_page += 1
    return Page("-id" if backwards else "id", per_page, distance // per_page + 1)


class _Look:
    """The requests of one round, and what they showed."""

    def __init__(self, remote: Remote, known: IdSet) -> None:
        self._remote = remote
        self.known = known
        self.requests = 1
        self.gone: set[int] = set()
        self.back: set[int] = set()
        self.highest, self.count = remote.newest(few=0 < len(known) <= FEW)
        if self.highest is None:
            self.count = 0
            self.requests += 1
            if not remote.exists():
                raise UnknownProject
            self._note(known.see_none())
        elif self.highest in known.gone or (known.highest or 0) > self.highest:
            self.see(Page("-id", 1, 1))  # the proof; the two numbers are none

    def see(self, page: Page) -> Answer | None:
        """Lists a page and takes over what it proves."""
        self.requests += 1
        answer = self._remote.list_page(page)
        if answer is not None:
            self._note(self.known.see(answer))
        return answer

    def id_at(self, position: int) -> int | None:
        """The id at a position in ascending order, 0 < position < count; None if past the end.

        The answer holds the one before it too, so that it proves gone what we have between them.
        """
        page = page_across(position, self.count)
        answer = self.see(page)
        backwards = page.order == "-id"
        distance = self.count - position if backwards else position
        index = distance % page.per_page - backwards
        return answer.ids[index] if answer is not None and index < len(answer.ids) else None

    def _note(self, seen: Seen) -> None:
        """Adds to what changes; gone and back again is no change, nor is the reverse."""
        gone, back = self.gone, self.back
        self.gone = (gone - seen.back) | (seen.gone - back)
        self.back = (back - seen.gone) | (seen.back - gone)


def _new_at_the_end(look: _Look, window: int) -> list[PageToFetch]:
    """The usual case: we lack as many as there are new at the end. Empty if it is not the case.

    One page is taken without a question. Several could be ours, with what we lack far below them.
    """
    known, count = look.known, look.count
    lacking = count - len(known)
    end_of_ours = known.highest or 0
    if look.highest is None or not 0 < lacking <= look.highest - end_of_ours:
        return []  # nothing new at the end, or not enough ids for so many
    items = min(lacking + 1, count)  # one more, which should be the highest of ours
    size = min(LARGEST_PAGE, items)
    pages = -(-items // size)
    new = size * min(window, pages - 1)
    if new and known:
        lowest = look.id_at(count - new)
        if lowest is None or lowest <= end_of_ours:
            return []
    ours = known.slice(len(known) - size - SLACK, len(known))
    return [
        PageToFetch(Page("-id", size, page), () if page * size <= new else ours)
        for page in range(1, min(pages, window) + 1)
    ]


class _Stretch(NamedTuple):
    """The server's positions [begin, end) hold its ids [low, high)."""

    begin: int
    low: float
    end: int
    high: float


def _bisect(look: _Look, window: int, in_flight: Collection[Page]) -> list[PageToFetch]:
    """Halves the stretches that differ until each is one page, or wholly missing; newest first."""
    known, count = look.known, look.count
    grid = _Grid(count)
    stretches = [_Stretch(0, -inf, count, inf)]
    # The positions that are left out: from, to before
    flying = [page.positions(count) for page in in_flight] or [(0, 0)]
    left_out = min(flying)[0], max(end for _, end in flying)
    # Where the highest is not ours, the end of ours is looked at first.
    first_divide = count // 2 if look.highest in known else len(known)
    want: list[PageToFetch] = []
    listed_here = 0
    while stretches and len(want) + listed_here < window:
        stretch = stretches.pop()
        begin, low, end, high = stretch
        if left_out[0] <= begin and end <= left_out[1]:
            continue
        ours = known.between(low, high)
        begins_alike = low == -inf or low in known
        ends_alike = end < count or look.highest in known
        if ours == end - begin and begins_alike and ends_alike:
            continue
        near = first_divide if end - begin == count else (begin + end) // 2
        near = next((edge for edge in left_out[::-1] if begin < edge < end), near)
        border = grid.border_inside(begin, end, near)
        if ours and border is not None:
            divide = look.id_at(border)
            if divide is None or not low < divide < high:
                break  # it moved while we looked; the next round goes on
            stretches.append(_Stretch(begin, low, border, divide))
            stretches.append(_Stretch(border, divide, end, high))
            continue
        wanted = [
            PageToFetch(page, _held(known, stretch, page.positions(count)))
            for page in grid.pages(begin, end)
            if page not in in_flight
        ]
        if not wanted:
            continue
        if len(wanted[0].held) > HELD:  # most of them are gone, which this proves
            listed_here += 1
            look.see(wanted[0].page)
            stretches.append(stretch)
            continue
        want += wanted[: window - len(want) - listed_here]
    return grid.without_overlap(want)


def _held(known: IdSet, stretch: _Stretch, positions: tuple[int, int]) -> tuple[int, ...]:
    """Our ids that a page at these positions may list, where it is one that covers the stretch."""
    first, last = positions
    start, end = known.rank(stretch.low), known.rank(stretch.high)
    if first <= stretch.begin:
        start -= stretch.begin - first + SLACK
    if last >= stretch.end:
        end += last - stretch.end + SLACK
    return known.slice(start, end)


class _Grid:
    """The pages that cover `count` positions, each counted from the nearer end of the list.

    Below `_seam`, near the middle, that is the start. A stretch without a border inside lies on
    one page.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        lower_end = count // 2 // LARGEST_PAGE * LARGEST_PAGE
        self._seam = count - (count - lower_end - 1) // LARGEST_PAGE * LARGEST_PAGE
        self._borders: list[int] = [
            *range(LARGEST_PAGE, lower_end + 1, LARGEST_PAGE),
            *range(self._seam, count, LARGEST_PAGE),
        ]

    def border_inside(self, begin: int, end: int, near: int) -> int | None:
        """The border next to `near`, at or below it if possible, with begin < border < end."""
        first = bisect_right(self._borders, begin)
        last = bisect_left(self._borders, end) - 1
        if first > last:
            return None
        return self._borders[min(max(bisect_right(self._borders, near) - 1, first), last)]

    def pages(self, begin: int, end: int) -> list[Page]:
        """The pages that list the positions from `begin` to before `end`, newest first."""
        pages: list[Page] = []
        if end > self._seam:
            newest = self._count - end
            oldest = self._count - 1 - max(begin, self._seam)
            pages += [
                Page("-id", LARGEST_PAGE, n)
                for n in range(newest // LARGEST_PAGE + 1, oldest // LARGEST_PAGE + 2)
            ]
        if begin < self._seam:
            newest = min(end, self._seam) - 1
            pages += [
                Page("id", LARGEST_PAGE, n)
                for n in range(newest // LARGEST_PAGE + 1, begin // LARGEST_PAGE, -1)
            ]
        return pages

    def without_overlap(self, want: list[PageToFetch]) -> list[PageToFetch]:
        """Leaves the page below the seam to the next round, if the one above lists some of it."""
        above = Page("-id", LARGEST_PAGE, (self._count - self._seam) // LARGEST_PAGE)
        below = Page("id", LARGEST_PAGE, (self._seam - 1) // LARGEST_PAGE + 1)
        if self._count % LARGEST_PAGE and any(wanted.page == above for wanted in want):
            return [wanted for wanted in want if wanted.page != below]
        return want

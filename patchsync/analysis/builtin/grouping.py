"""From pairs that are alike to groups, as one run of PaStA over all of them would make them.

PaStA joins what is alike. Then it compares each group's latest mail with the upstream commits, and
joins again. Where pairs are marked false positive the order matters, and is PaStA's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from patchsync.analysis.builtin.kept import Kept
from patchsync.analysis.components import DisjointSets

# Origin to destinations, by name: what PaStA's false-positives files hold.
Marks = Mapping[str, frozenset[str]]


class Alike(NamedTuple):
    """How alike a patch and others are (`Rating.order`)."""

    # The best of all that PaStA compares it with, linked or not
    best: float
    others: Mapping[int, float]


# Of a mail, and of the numbers that it is linked with: mails, or upstream commits.
HowAlike = Callable[[Kept, set[int], bool], Alike]


class Links(NamedTuple):
    """Pairs of numbers that are alike: two mails, or a mail and then a commit."""

    mails: list[tuple[int, int]]
    commits: list[tuple[int, int]]


def group(
    patches: Iterable[Kept], links: Links, false: Marks, false_upstream: Marks, how_alike: HowAlike
) -> list[set[int]]:
    """The groups of what is connected by `links`, with the commits that each is upstream in."""
    by_number = {patch.number: patch for patch in patches}
    mails = [number for number, patch in by_number.items() if not patch.is_commit]
    groups = DisjointSets(by_number)
    _join(groups, links.mails, _Order(by_number, mails, false, how_alike, upstream=False))
    latest = {_latest(by_number[mail] for mail in each) for each in groups.sets_of(mails)}
    chosen = [(mail, commit) for mail, commit in links.commits if mail in latest]
    order = _Order(by_number, sorted(latest), false_upstream, how_alike, upstream=True)
    _join(groups, chosen, order)
    return groups.sets_of(by_number)


def _latest(mails: Iterable[Kept]) -> int:
    """The mail with the latest author date. Of several PaStA takes any; here the name decides."""
    return max(mails, key=lambda mail: (mail.date, mail.name)).number


class _Order(NamedTuple):
    """What decides in which order pairs are joined, and which are not."""

    patches: Mapping[int, Kept]
    origins: list[int]
    marks: Marks
    how_alike: HowAlike
    upstream: bool


def _join(groups: DisjointSets[int], pairs: list[tuple[int, int]], order: _Order) -> None:
    """Unite the pairs, but for what a mark keeps apart."""
    marks = _Marks(order)
    if not marks:
        for left, right in pairs:
            groups.unite(left, right)
        return
    for left, right in _as_pasta_orders(pairs, order):
        ours, theirs = groups.set_of(left), groups.set_of(right)
        if ours is not theirs and not marks.keep_apart(ours, theirs):
            groups.unite(left, right)


class _Marks:
    """The marks that concern these patches, by number."""

    def __init__(self, order: _Order) -> None:
        names = {patch.name: number for number, patch in order.patches.items()}
        self._marks: dict[int, set[int]] = {}
        for name, number in names.items():
            if there := {names[each] for each in order.marks.get(name, ()) if each in names}:
                self._marks[number] = there

    def __bool__(self) -> bool:
        return bool(self._marks)

    def keep_apart(self, origin: set[int], destination: set[int]) -> bool:
        """Whether any of the origin's group is marked against any of the other's."""
        return any(
            not destination.isdisjoint(self._marks[number])
            for number in origin
            if number in self._marks
        )


def _as_pasta_orders(pairs: list[tuple[int, int]], order: _Order) -> list[tuple[int, int]]:
    """Origins from the one whose best candidate is least alike; of each the best candidate first.

    Two mails are looked at from either side. Where PaStA's order is left to chance, names decide.
    """
    alike: dict[int, set[int]] = defaultdict(set)
    for left, right in pairs:
        alike[left].add(right)
        if not order.upstream:
            alike[right].add(left)

    def name(number: int) -> str:
        return order.patches[number].name

    found = []
    for origin in order.origins:
        if origin not in alike:
            continue
        told = order.how_alike(order.patches[origin], alike[origin], order.upstream)
        for candidate in alike[origin]:
            key = (told.best, name(origin), -told.others[candidate], name(candidate))
            found.append((key, (origin, candidate)))
    return [pair for _, pair in sorted(found)]

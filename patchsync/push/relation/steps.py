"""The fewest requests that turn relations in Patchwork into others.

A request is PATCH patches/<id>/ {"related": [ids]}; the rules are those of Patchwork 3.2.1,
api/patch.py: it only adds, and never to two relations at once (409: break before make); an empty
list takes out this one patch, and a relation of two is gone with either of them.

Each patch that must leave a relation costs one request, the last two of a relation one together,
and each relation that lacks any patches one more. So all that is to choose is which relation each
of the wanted ones grows from. The requests that this saves are counted, and the choice that saves
most is a matching of greatest weight.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A relation in Patchwork: the ids of all its patches, and of those that we put there.

    One patch alone stands for a relation that Patchwork does not show. It is named when a 409 has
    no other explanation, and may turn out not to be there.
    """

    members: frozenset[int]
    ours: frozenset[int] = frozenset()

    @property
    def kept(self) -> frozenset[int]:
        """The patches that a person related; they stay together."""
        kept = self.members - self.ours
        if len(self.members) == 1:
            return frozenset()
        return self.members if len(kept) == 1 else kept

    def with_members(self, members: frozenset[int]) -> Relation:
        """The same relation after a request of ours; it still has all that a person related."""
        return Relation(members, members - self.kept)


@dataclass(frozen=True)
class Step:
    """One request: PATCH patches/<patch_id>/ {"related": related}."""

    patch_id: int
    related: tuple[int, ...]
    # The relation afterwards, without the patch where it was taken out; None when it is gone. A
    # ledger that notes it before the request knows in every later round what is ours.
    leaves: Relation | None


@dataclass(frozen=True)
class Target:
    """A relation as it shall be, and the person's relation that it must be, if any."""

    members: frozenset[int]
    base: Relation | None = None


class Steps:
    """Makes the steps, and keeps what stands after each."""

    def __init__(self, relations: Sequence[Relation]) -> None:
        self._before = relations
        self._now: dict[int, Relation | None] = dict(enumerate(relations))
        self._place = {i: place for place, r in enumerate(relations) for i in r.members}

    def towards(self, targets: Sequence[Target]) -> Iterator[Step]:
        """The steps to the targets, one target after another; what is in none goes last."""
        bases = self._bases(targets)
        for number, target in enumerate(targets):
            base = bases.get(number)
            members = self._before[base].members if base is not None else frozenset()
            for patch_id in sorted(members ^ target.members):
                place = self._place.get(patch_id)
                if place is not None:
                    yield from self._take_out(place, patch_id)
            if new := sorted(target.members - members):
                yield self._add(base, new)
        for place in sorted(self._now.keys() - set(bases.values())):
            relation = self._now[place]
            if relation:
                for patch_id in sorted(relation.members)[1:]:
                    yield from self._take_out(place, patch_id)

    def _take_out(self, place: int, patch_id: int) -> Iterator[Step]:
        relation = self._now[place]
        if relation and patch_id in relation.members:
            rest = relation.members - {patch_id}
            self._now[place] = relation.with_members(rest) if len(rest) > 1 else None
            yield Step(patch_id, (), self._now[place])

    def _add(self, base: int | None, new: list[int]) -> Step:
        """Through a new patch: the server then saves the new ones and no other."""
        relation = self._now[base] if base is not None else None
        if relation is None:
            return Step(new[0], tuple(new[1:]), Relation(frozenset(new), frozenset(new)))
        grown = relation.with_members(relation.members.union(new))
        return Step(new[0], (min(relation.members), *new[1:]), grown)

    def _bases(self, targets: Sequence[Target]) -> dict[int, int]:
        """Target -> the relation that it grows from, by their places, so that most is saved."""
        given: dict[int, int] = {}
        saves: dict[int, dict[int, int]] = {}
        for number, target in enumerate(targets):
            if target.base:
                given[number] = self._place[min(target.base.kept)]
                continue
            overlaps = Counter(self._place[i] for i in target.members if i in self._place)
            # Of two that save as much the larger one comes first: the other may not be there.
            saves[number] = {
                place: saved
                for place, overlap in sorted(overlaps.items(), key=self._largest_first)
                if not self._before[place].kept
                and (
                    saved := _saved(overlap, len(self._before[place].members), len(target.members))
                )
            }
        return given | best_matching(saves)

    def _largest_first(self, overlap: tuple[int, int]) -> tuple[int, int]:
        return -len(self._before[overlap[0]].members), overlap[0]


def _saved(overlap: int, relation: int, target: int) -> int:
    """How many requests it saves that a target grows from a relation, all three in patches."""
    if relation == 1:
        return 1
    return overlap if overlap == target else overlap - 1


def best_matching(weights: Mapping[int, Mapping[int, int]]) -> dict[int, int]:
    """Left -> right, each used once, with the greatest sum of weights[left][right].

    One left after the other comes in by the alternating path that gains most. What was matched
    before is best, so no circle gains and the search ends.
    """
    holder: dict[int, int] = {}
    for start in weights:
        gains = {start: 0}
        came: dict[int, tuple[int, int]] = {}
        # The gain, the last left of the path, and the free right that it takes if it takes one.
        best: tuple[int, int, int | None] = (0, start, None)
        waiting = deque([start])
        while waiting:
            left = waiting.popleft()
            for right, weight in weights[left].items():
                gain = gains[left] + weight
                if right not in holder:
                    best = max(best, (gain, left, right), key=lambda end: end[0])
                    continue
                loser = holder[right]
                gain -= weights[loser][right]
                if loser not in gains or gain > gains[loser]:
                    gains[loser], came[loser] = gain, (left, right)
                    best = max(best, (gain, loser, None), key=lambda end: end[0])
                    waiting.append(loser)
        _, left, taken = best
        if taken is not None:
            holder[taken] = left
        while left != start:
            left, right = came[left]
            holder[right] = left
    return {left: right for right, left in holder.items()}

"""What the relations in Patchwork shall be, after PaStA's groups and what people did.

What a person related is never taken apart: the rest of a group joins it, or it is left. What a
person parted is never brought together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from patchsync.analysis.components import components
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.push.relation.people import Pair
from patchsync.push.relation.steps import Relation, Step, Steps, Target

_NAMED = 10  # patches in a text


class Reason(StrEnum):
    """Why a group is not, or not alone, in Patchwork as PaStA has it."""

    JOINED = "joined"
    LEFT = "left"
    SEVERAL = "several"
    SHARED = "shared"
    PARTED = "parted"
    NO_RIGHT = "no-right"
    ABOVE_CAP = "above-cap"


_TEXTS = {
    Reason.JOINED: "are related by a person: the rest of the group joined them",
    Reason.LEFT: "are related by a person: they stay, and the rest of the group is kept apart",
    Reason.SEVERAL: "are related by a person, and others of the group by another: they stay apart",
    Reason.SHARED: "are related by a person, together with another group: they stay, none joins",
    Reason.PARTED: "were parted by a person from others of the group: they stay apart",
    Reason.NO_RIGHT: "are in projects that we do not maintain, or related to such: they stay",
    Reason.ABOVE_CAP: "are more than one relation may hold: they are in none",
}


@dataclass(frozen=True)
class Notice:
    """What somebody should know of a group, or of a relation of ours that we cannot change."""

    reason: Reason
    group: tuple[int, ...]
    patches: tuple[int, ...]

    def __str__(self) -> str:
        """The sentence for people."""
        named = ", ".join(map(str, self.patches[:_NAMED]))
        more = len(self.patches) - _NAMED
        return f"patches {named}{f' and {more} more' if more > 0 else ''} {_TEXTS[self.reason]}"


@dataclass(frozen=True)
class Component:
    """Patches that relations or groups link: its steps depend on one another, on others never."""

    patches: tuple[int, ...]
    steps: tuple[Step, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True)
class Terms:
    """What we may and want to do, from rights and configuration."""

    # the ids of patches in projects that we maintain
    may: Set[int]
    # patches in one relation: the answers that show it grow with the square of this
    most: int
    # Whether the rest of a group is added to what a person related of it.
    join: bool
    # Which two patches a person parted, the lower id first
    parted: Set[Pair] = frozenset()


def plan_steps(
    current: Iterable[Relation], desired: Iterable[Set[int]], terms: Terms
) -> tuple[Component, ...]:
    """The fewest requests, in order, by component; one that has no steps and notices is left out.

    `current`: every relation with a patch of `desired`, whole, and every one that is ours.
    `desired`: PaStA's groups as patch ids; a patch in none of them, or alone, shall be in no
    relation of ours. Interrupted anywhere, the next plan has just the requests that are left.
    Raises TryAgainLater where relations overlap, as if read while they changed; GiveUp where groups
    overlap.
    """
    relations = sorted((r for r in current if r.members), key=lambda r: min(r.members))
    groups = sorted((frozenset(group) for group in desired if group), key=min)
    if twice := _first_twice(relation.members for relation in relations):
        raise TryAgainLater(f"the relations of patch {twice} changed while they were read")
    if twice := _first_twice(groups):
        raise GiveUp(f"patch {twice} is in more than one group")
    components = [
        _Planner(relations, groups, terms).component(patches)
        for patches, relations, groups in _connected(relations, groups)
    ]
    return tuple(each for each in components if each.steps or each.notices)


def _first_twice(sets: Iterable[frozenset[int]]) -> int | None:
    """The lowest id that is in more than one of the sets."""
    counts = Counter(chain.from_iterable(sets))
    return min((patch_id for patch_id, count in counts.items() if count > 1), default=None)


def _connected(
    relations: Sequence[Relation], groups: Sequence[frozenset[int]]
) -> Iterator[tuple[list[int], list[Relation], list[frozenset[int]]]]:
    """The components by their lowest patch: patches, relations and groups, all in order."""
    relation_of = {patch_id: relation for relation in relations for patch_id in relation.members}
    group_of = {patch_id: group for group in groups for patch_id in group}
    linked_sets = components([*(relation.members for relation in relations), *groups])
    for linked in sorted(linked_sets, key=min):
        yield (
            sorted(linked),
            sorted(_holders(linked, relation_of), key=lambda relation: min(relation.members)),
            sorted({group_of[each] for each in linked if each in group_of}, key=min),
        )


class _Planner:
    """Plans what is linked: relations and groups, none of which reaches beyond it.

    What people related decides, and no step changes that: so a plan that is made half-way has the
    same targets.
    """

    def __init__(
        self, relations: list[Relation], groups: list[frozenset[int]], terms: Terms
    ) -> None:
        self._terms = terms
        self._groups = [group for group in groups if len(group) > 1]
        self._free = [relation for relation in relations if relation.members <= terms.may]
        # Adding through a patch that is in no relation would pass the server's test of rights here;
        # a later removal would not.
        self._locked = [relation for relation in relations if relation not in self._free]
        # By patch: the relation that a person placed it in, and the one that we cannot change.
        self._by_person = {patch_id: r for r in self._free for patch_id in r.kept}
        self._in_locked = {patch_id: r for r in self._locked for patch_id in r.members}
        # How many groups have patches that a person placed in a relation.
        self._groups_in = Counter(
            relation for group in self._groups for relation in _holders(group, self._by_person)
        )
        # By patch: those that a person parted it from.
        self._parted_from: dict[int, set[int]] = {}
        for low, high in terms.parted:
            self._parted_from.setdefault(low, set()).add(high)
            self._parted_from.setdefault(high, set()).add(low)

    def component(self, patches: list[int]) -> Component:
        """The steps and notices; `patches`: all that is linked."""
        notices = list(self._out_of_reach())
        of_people = {r: Target(r.kept, r) for r in self._by_person.values()}
        of_us = []
        for group in self._groups:
            place = self._place(group)
            notices += place.notices()
            if place.base:
                of_people[place.base] = Target(place.base.kept | place.added, place.base)
            elif len(place.added) > 1:
                of_us.append(Target(place.added))
        targets = sorted([*of_people.values(), *of_us], key=lambda target: min(target.members))
        steps = Steps(self._free).towards(targets)
        return Component(tuple(patches), tuple(steps), tuple(notices))

    def _out_of_reach(self) -> Iterator[Notice]:
        """What is ours and not as PaStA has it, and cannot be changed."""
        for relation in self._locked:
            if relation.ours and relation.members not in self._groups:
                foreign = relation.members - self._terms.may
                yield Notice(Reason.NO_RIGHT, _ordered(relation.members), _ordered(foreign))

    def _place(self, group: frozenset[int]) -> _Place:
        """Where the patches of a group shall be, and why some of them not there."""
        persons = _holders(group, self._by_person)
        shared = {relation for relation in persons if self._groups_in[relation] > 1}
        barred = (group - self._terms.may).union(group & self._in_locked.keys())
        free = group - barred - self._by_person.keys()
        parted = self._parted_within(free)
        rest = sorted(free - parted)
        base = self._base(group, persons - shared, rest)
        kept = base.kept if base else frozenset()
        room = max(self._terms.most - len(kept), 0)
        return _Place(
            group=group,
            base=base,
            added=frozenset(rest[:room]),
            lacking={
                Reason.JOINED: kept if rest[:room] else frozenset(),
                Reason.SEVERAL if base else Reason.LEFT: _kept(persons - shared - {base}),
                Reason.SHARED: _kept(shared),
                Reason.PARTED: parted,
                Reason.NO_RIGHT: barred,
                Reason.ABOVE_CAP: frozenset(rest[room:]),
            },
            whole=any(group <= relation.kept for relation in persons)
            or any(group <= relation.members for relation in _holders(group, self._in_locked)),
        )

    def _base(
        self, group: frozenset[int], persons: Set[Relation], rest: Iterable[int]
    ) -> Relation | None:
        """The person's relation that the rest of a group joins: the one that has most of it.

        None from which a person parted any of the rest.
        """
        away = set[int]().union(*(self._parted_from.get(each, ()) for each in rest))
        joinable = [r for r in persons if r.kept.isdisjoint(away)] if self._terms.join else ()
        return max(joinable, key=lambda r: (len(r.kept & group), -min(r.kept)), default=None)

    def _parted_within(self, patches: frozenset[int]) -> frozenset[int]:
        """Those to leave out so that no two of the others are parted: who is from most, first.

        What is related now says nothing here: it changes with each step.
        """
        left = set(patches)
        while True:
            counts = {each: len(self._parted_from.get(each, set()) & left) for each in left}
            most = max(left, key=lambda each: (counts[each], each), default=None)
            if most is None or not counts[most]:
                return patches - left
            left.remove(most)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the patches of a group shall be."""

    group: frozenset[int]
    # The person's relation that others of it join, if any, and those others
    base: Relation | None
    added: frozenset[int]
    # What is not as PaStA has it, by the reason
    lacking: Mapping[Reason, frozenset[int]]
    # Whether all of it is in one relation already, that of a person or one that we cannot change
    whole: bool

    def notices(self) -> Iterator[Notice]:
        """What somebody should know of it."""
        for reason, patches in self.lacking.items():
            lacking = patches & self.group
            if lacking and (not self.whole or reason is Reason.SHARED):
                yield Notice(reason, _ordered(self.group), _ordered(lacking))


def _holders(group: Set[int], relation_of: Mapping[int, Relation]) -> set[Relation]:
    """The relations that patches of a group are in."""
    return {relation_of[patch_id] for patch_id in group if patch_id in relation_of}


def _kept(relations: Iterable[Relation]) -> frozenset[int]:
    return frozenset().union(*(relation.kept for relation in relations))


def _ordered(patches: Set[int]) -> tuple[int, ...]:
    return tuple(sorted(patches))

"""What the relations in Patchwork shall be, after PaStA's groups and what people did.

What a person related is never taken apart: the rest of a group joins it, or it is left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from patchsync.errors import GiveUp, TryAgainLater
from patchsync.push.relation.steps import Relation, Step, Steps, Target

_NAMED = 10  # patches in a text


class Reason(StrEnum):
    """Why a group is not, or not alone, in Patchwork as PaStA has it."""

    JOINED = "joined"
    LEFT = "left"
    SEVERAL = "several"
    SHARED = "shared"
    NO_RIGHT = "no-right"
    ABOVE_CAP = "above-cap"


_TEXTS = {
    Reason.JOINED: "are related by a person: the rest of the group joined them",
    Reason.LEFT: "are related by a person: they stay, and the rest of the group is kept apart",
    Reason.SEVERAL: "are related by a person, and others of the group by another: they stay apart",
    Reason.SHARED: "are related by a person, together with another group: they stay, none joins",
    Reason.NO_RIGHT: "are in projects that we do not maintain, or related to such: they stay",
    Reason.ABOVE_CAP: "are more than one relation may hold: they are in none",
}


@dataclass(frozen=True)
class Report:
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
    reports: tuple[Report, ...]


@dataclass(frozen=True)
class Terms:
    """What we may and want to do, from rights and configuration."""

    # the ids of patches in projects that we maintain
    may: Set[int]
    # patches in one relation: the answers that show it grow with the square of this
    most: int
    # Whether the rest of a group is added to what a person related of it.
    join: bool


def plan(
    current: Iterable[Relation], wanted: Iterable[Set[int]], terms: Terms
) -> tuple[Component, ...]:
    """The fewest requests, in order, by component; one that needs and reports nothing is left out.

    `current`: every relation with a patch of `wanted`, whole, and every one that is ours.
    `wanted`: PaStA's groups as patch ids; a patch in none of them, or alone, shall be in no
    relation of ours. Interrupted anywhere, the next plan has just the requests that are left.
    Raises TryAgainLater where relations overlap, as if read while they changed; GiveUp where groups
    overlap.
    """
    relations = sorted((r for r in current if r.members), key=lambda r: min(r.members))
    groups = sorted((frozenset(group) for group in wanted if group), key=min)
    if twice := _first_twice(relation.members for relation in relations):
        raise TryAgainLater(f"the relations of patch {twice} changed while they were read")
    if twice := _first_twice(groups):
        raise GiveUp(f"patch {twice} is in more than one group")
    components = (
        _plan_component(patches, relations, groups, terms)
        for patches, relations, groups in _connected(relations, groups)
    )
    return tuple(found for found in components if found.steps or found.reports)


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
    seen: set[int] = set()
    for start in sorted(relation_of.keys() | group_of.keys()):
        if start in seen:
            continue
        found = {start}
        waiting = [start]
        inner: dict[Relation, None] = {}
        wanted: dict[frozenset[int], None] = {}
        while waiting:
            patch_id = waiting.pop()
            linked: set[int] = set()
            if (relation := relation_of.get(patch_id)) and relation not in inner:
                inner[relation] = None
                linked |= relation.members
            if (group := group_of.get(patch_id)) and group not in wanted:
                wanted[group] = None
                linked |= group
            waiting += linked - found
            found |= linked
        seen |= found
        yield (
            sorted(found),
            sorted(inner, key=lambda relation: min(relation.members)),
            sorted(wanted, key=min),
        )


def _plan_component(
    patches: list[int], relations: list[Relation], groups: list[frozenset[int]], terms: Terms
) -> Component:
    """The steps and reports of what is linked."""
    # Adding through a patch that is in no relation would pass the server's test of rights here; a
    # later removal would not.
    frozen = [r for r in relations if not r.members <= terms.may]
    free = [r for r in relations if r.members <= terms.may]
    targets, reports = _targets(free, frozen, groups, terms)
    return Component(tuple(patches), tuple(Steps(free).towards(targets)), tuple(reports))


def _targets(
    free: list[Relation], frozen: list[Relation], groups: list[frozenset[int]], terms: Terms
) -> tuple[list[Target], list[Report]]:
    """The relations as they shall be, and what the groups lack in them.

    What people related decides, and no step changes that: so a plan that is made half-way has the
    same targets.
    """
    wanted = [group for group in groups if len(group) > 1]
    whole = set(wanted)
    by_person = {patch_id: r for r in free for patch_id in r.kept}
    stuck = {patch_id: r for r in frozen for patch_id in r.members}
    touched = Counter(r for group in wanted for r in _those_of(group, by_person))
    reports = [
        Report(Reason.NO_RIGHT, _ordered(r.members), _ordered(r.members - terms.may))
        for r in frozen
        if r.ours and r.members not in whole
    ]
    targets = {r: Target(r.kept, r) for r in by_person.values()}
    made: list[Target] = []
    for group in wanted:
        persons = _those_of(group, by_person)
        joinable = [r for r in persons if terms.join and touched[r] == 1]
        base = max(joinable, key=lambda r: (len(r.kept & group), -min(r.kept)), default=None)
        kept = base.kept if base else frozenset()
        barred = {i for i in group if i in stuck or i not in terms.may}
        rest = sorted(group - barred - by_person.keys())
        added = rest[: max(terms.most - len(kept), 0)]
        if base:
            targets[base] = Target(kept.union(added), base)
        elif len(added) > 1:
            made.append(Target(frozenset(added)))

        lacking: dict[Reason, set[int]] = defaultdict(set)
        lacking[Reason.JOINED] |= kept & group if added else set()
        lacking[Reason.ABOVE_CAP] |= set(rest[len(added) :])
        lacking[Reason.NO_RIGHT] |= barred
        for r in persons - {base}:
            left = Reason.SEVERAL if base else Reason.LEFT
            lacking[Reason.SHARED if touched[r] > 1 else left] |= r.kept & group
        shown = any(group <= r.kept for r in persons)
        shown |= any(group <= r.members for r in _those_of(group, stuck))
        reports += [
            Report(reason, _ordered(group), _ordered(lacking[reason]))
            for reason in Reason
            if lacking[reason] and (not shown or reason is Reason.SHARED)
        ]
    return sorted([*targets.values(), *made], key=lambda target: min(target.members)), reports


def _those_of(group: Set[int], relations: dict[int, Relation]) -> set[Relation]:
    return {relations[patch_id] for patch_id in group if patch_id in relations}


def _ordered(patches: Set[int]) -> tuple[int, ...]:
    return tuple(sorted(patches))

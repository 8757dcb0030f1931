"""What must be looked at together before a relation is changed: what relations or groups link.

What the ledger says is where to look; what is so is read from Patchwork, all of it, before the
first step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from patchsync.errors import GiveUp
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Entry, HandsOff, Sink
from patchsync.push.ledger import Ledger
from patchsync.push.relation.steps import Relation

# What is larger is nothing that a person could look through either.
MOST_PATCHES = 2000


class TooMuch(GiveUp):
    """It is too much to be one patch's revisions."""


# The view of a patch of any project; None if it is gone
Look = Callable[[int], PatchView | None]


@dataclass
class Neighbourhood:
    """Patches, whole relations and whole groups."""

    entries: dict[int, Entry]
    views: dict[int, PatchView]
    # The relation that each patch has by us; alone where it has none
    shown: dict[int, frozenset[int]]
    # Patches of which a person took our hand away
    hands_off: frozenset[int] = frozenset()

    def groups(self) -> list[frozenset[int]]:
        """The wanted relations, of patches that are there and that people left to us."""
        groups: dict[frozenset[int], set[int]] = {}
        for each in self.entries.keys() & self.views.keys() - self.hands_off:
            # By what each wants itself: one that a plan did not reach claims no others.
            wanted = members_of(self.entries[each].wanted) or frozenset({each})
            groups.setdefault(wanted, set()).add(each)
        return list(map(frozenset, groups.values()))

    def present(self) -> dict[int, frozenset[int]]:
        """The relation of each patch, as Patchwork shows it."""
        return {each: relation_of(view) for each, view in self.views.items()}

    def relations(self, made: Collection[int]) -> list[Relation]:
        """What Patchwork shows; `made`: the patches that we placed there."""
        found = {relation_of(view) for view in self.views.values()}
        return [Relation(each, each.intersection(made)) for each in found if len(each) > 1]


def members_of(value: str | None) -> frozenset[int]:
    """The patches of a relation as the ledger has it."""
    return frozenset(json.loads(value)) if value else frozenset()


def relation_of(view: PatchView) -> frozenset[int]:
    """All patches of the relation that a patch is in; itself alone where it is in none."""
    return frozenset({view.id, *view.related})


def gather(ledger: Ledger, look: Look, patch_ids: Iterable[int]) -> Neighbourhood:
    """Read all that is linked to some patches, by relations or by groups.

    Raises:
        TooMuch: there is no end to it.
    """
    views: dict[int, PatchView] = {}
    seen, waiting = set[int](), set(patch_ids)
    while waiting:
        seen |= waiting
        if len(seen) > MOST_PATCHES:
            raise TooMuch(f"more than {MOST_PATCHES} patches are linked to patch {min(seen)}")
        views |= {each: view for each in sorted(waiting) if (view := look(each)) is not None}
        # All of them once more: a plan may have changed them while the server was asked.
        with ledger.transaction():
            entries = ledger.entries(Sink.RELATION, seen)
        linked = set[int]().union(*map(relation_of, views.values()))
        for entry in entries.values():
            linked |= members_of(entry.wanted) | members_of(entry.shown)
        waiting = linked - seen
    shown = {each: frozenset({each}) for each in seen}
    shown |= {each: found for each, entry in entries.items() if (found := members_of(entry.shown))}
    return Neighbourhood(entries, views, shown)


def taken_away(found: Neighbourhood, made: Collection[int], now: float) -> list[HandsOff]:
    """The patches that we related and that a person took out of that relation since."""
    return [
        HandsOff(Sink.RELATION, each, "a person took it out of its relation", now)
        for each, view in found.views.items()
        if each in made
        # Where all the others are gone from Patchwork, nobody took it out.
        and (others := found.shown[each] & found.views.keys() - {each})
        and relation_of(view).isdisjoint(others)
    ]


def taken_over(found: Neighbourhood, made: Collection[int]) -> set[int]:
    """The patches that we related, in relations to which a person added others since.

    Such a relation is that person's: none of it is taken apart.
    """
    over: set[int] = set()
    for each, view in found.views.items():
        before = found.shown[each]
        if each in made and len(before) > 1:
            members = relation_of(view)
            foreign = members.difference(made)
            if foreign and foreign.isdisjoint(before):
                over |= members & set(made)
    return over

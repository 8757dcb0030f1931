"""What must be looked at together before a relation is changed: what relations or groups link.

What the ledger says is where to look; what is so is read from Patchwork, all of it, before the
first step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from patchsync.errors import GiveUp
from patchsync.patchwork.shown import PatchView
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_tables import Entry, HandsOff, Sink
from patchsync.push.relation_steps import Relation

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
    found = Neighbourhood({}, {})
    waiting, seen = set(patch_ids), set[int]()
    while waiting:
        seen |= waiting
        if len(seen) > MOST_PATCHES:
            raise TooMuch(f"more than {MOST_PATCHES} patches are linked to patch {min(seen)}")
        entries = ledger.entries(Sink.RELATION, waiting)
        views = {each: view for each in sorted(waiting) if (view := look(each)) is not None}
        found.entries |= entries
        found.views |= views
        linked = set[int]()
        for entry in entries.values():
            linked |= members_of(entry.wanted) | members_of(entry.shown)
        for view in views.values():
            linked |= relation_of(view)
        waiting = linked - seen
    return found


def taken_away(
    found: Neighbourhood, made: Collection[int], leaving: Collection[int], now: float
) -> list[HandsOff]:
    """The patches that we related and that a person took out of that relation since.

    `leaving`: those that a request of ours may have taken out.
    """
    return [
        HandsOff(Sink.RELATION, entry.patch_id, "a person took it out of its relation", now)
        for entry in found.entries.values()
        if entry.patch_id in made
        and entry.patch_id not in leaving
        and (view := found.views.get(entry.patch_id)) is not None
        # Where all the others are gone from Patchwork, nobody took it out.
        and (others := members_of(entry.shown) & found.views.keys() - {entry.patch_id})
        and relation_of(view).isdisjoint(others)
    ]


def taken_over(found: Neighbourhood, made: Collection[int]) -> set[int]:
    """The patches that we related, in relations to which a person added others since.

    Such a relation is that person's: none of it is taken apart.
    """
    over: set[int] = set()
    for entry in found.entries.values():
        before, view = members_of(entry.shown), found.views.get(entry.patch_id)
        if entry.patch_id in made and before and view is not None:
            members = relation_of(view)
            foreign = members.difference(made)
            if foreign and foreign.isdisjoint(before):
                over |= members & set(made)
    return over

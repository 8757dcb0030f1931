"""What must be looked at together before a relation is changed: what relations or groups link.

The ledger says where to look; what is there is read from Patchwork, all of it, before the first
step. What people did since our last step shows in the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from patchsync.errors import GiveUp
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Entry, RelationValue, Sink
from patchsync.push.ledger import Ledger
from patchsync.push.relation.steps import Relation

# What is larger is nothing that a person could look through either.
MOST_PATCHES = 2000

# The relation of each patch; a patch that is in none is alone in its own
Relations = dict[int, frozenset[int]]


class TooMuch(GiveUp):
    """It is too much to be one patch's revisions."""


@dataclass
class Neighbourhood:
    """Patches, whole relations and whole groups."""

    entries: dict[int, Entry[RelationValue]]
    views: dict[int, PatchView]
    # By us, as far as is known
    observed: Relations
    # Patches that a person took out of a relation of ours
    left_alone: frozenset[int] = frozenset()

    def groups(self) -> list[frozenset[int]]:
        """The desired relations, of patches that are there and that people left to us."""
        groups: dict[frozenset[int], set[int]] = {}
        for patch_id in self.entries.keys() & self.views.keys() - self.left_alone:
            # By what each wants itself: one that a plan did not reach claims no others.
            desired = self.entries[patch_id].desired or frozenset({patch_id})
            groups.setdefault(desired, set()).add(patch_id)
        return list(map(frozenset, groups.values()))

    def present(self) -> Relations:
        """As Patchwork showed them."""
        return {patch_id: relation_of(view) for patch_id, view in self.views.items()}

    def relations(self, placed_by_us: Collection[int]) -> list[Relation]:
        """What Patchwork showed, and of it what is ours."""
        relations = set(self.present().values())
        return [
            Relation(members, members.intersection(placed_by_us))
            for members in relations
            if len(members) > 1
        ]


def relation_of(view: PatchView) -> frozenset[int]:
    """All patches of the relation that a patch is in; itself alone where it is in none."""
    return frozenset({view.id, *view.related})


def read_neighbourhood(
    ledger: Ledger, view_of: Callable[[int], PatchView | None], patch_ids: Iterable[int]
) -> Neighbourhood:
    """Read all that is linked to some patches, by relations or by groups.

    `view_of`: asks for a patch of any project; None if it is gone.

    Raises:
        TooMuch: there is no end to it.
    """
    views: dict[int, PatchView] = {}
    seen, waiting = set[int](), set(patch_ids)
    while waiting:
        seen |= waiting
        if len(seen) > MOST_PATCHES:
            raise TooMuch(f"more than {MOST_PATCHES} patches are linked to patch {min(seen)}")
        views |= {each: view for each in sorted(waiting) if (view := view_of(each)) is not None}
        # All of them once more: a plan may have changed them while the server was asked.
        with ledger.transaction():
            entries = ledger.entries(Sink.RELATION, seen)
        linked = set[int]().union(*map(relation_of, views.values()))
        for entry in entries.values():
            linked |= (entry.desired or set()) | (entry.observed or set())
        waiting = linked - seen
    observed = {patch_id: frozenset({patch_id}) for patch_id in seen}
    observed |= {patch_id: entry.observed for patch_id, entry in entries.items() if entry.observed}
    return Neighbourhood(entries, views, observed)


def taken_out(around: Neighbourhood, placed_by_us: Collection[int]) -> set[int]:
    """The patches that we related and that a person took out of that relation since."""
    return {
        patch_id
        for patch_id, view in around.views.items()
        if patch_id in placed_by_us
        # Where all the others are gone from Patchwork, nobody took it out.
        and (others := around.observed[patch_id] & around.views.keys() - {patch_id})
        and relation_of(view).isdisjoint(others)
    }


def taken_over(around: Neighbourhood, placed_by_us: Collection[int]) -> set[int]:
    """The patches that we related, in relations to which a person added others since.

    Such a relation is that person's: none of it is taken apart.
    """
    over: set[int] = set()
    for patch_id, view in around.views.items():
        before = around.observed[patch_id]
        if patch_id in placed_by_us and len(before) > 1:
            members = relation_of(view)
            foreign = members.difference(placed_by_us)
            if foreign and foreign.isdisjoint(before):
                over |= members & set(placed_by_us)
    return over

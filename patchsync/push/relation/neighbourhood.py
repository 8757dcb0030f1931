"""What must be looked at together before a relation is changed: what relations or groups link.

The ledger says where to look; what is there is read from Patchwork, all of it, before the first
step. What people did since our last step shows in the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from patchsync.errors import GiveUp
from patchsync.patchwork.schemas import PatchView
from patchsync.push.entries import Entry, RelationValue, Sink
from patchsync.push.ledger import Ledger
from patchsync.push.relation.people import Relations
from patchsync.push.relation.steps import Relation

# What is larger is nothing that a person could look through either.
MOST_PATCHES = 2000


class TooMuch(GiveUp):
    """It is too much to be one patch's revisions."""


@dataclass
class Neighbourhood:
    """Patches, whole relations and whole groups."""

    entries: dict[int, Entry[RelationValue]]
    views: dict[int, PatchView]
    # As we left them, as far as is known
    observed: Relations
    # Patches that a person took out of a relation
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
    ledger: Ledger,
    view_of: Callable[[int], PatchView | None],
    patch_ids: Iterable[int],
    under_way: Mapping[int, frozenset[int]],
) -> Neighbourhood:
    """Read all that is linked to some patches, by relations, by groups or by requests under way.

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
        linked = linked.union(*(under_way.get(patch_id, ()) for patch_id in seen))
        waiting = linked - seen
    observed = {patch_id: frozenset({patch_id}) for patch_id in seen}
    observed |= {patch_id: entry.observed for patch_id, entry in entries.items() if entry.observed}
    return Neighbourhood(entries, views, observed)

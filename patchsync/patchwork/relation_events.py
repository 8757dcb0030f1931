"""Which relations are ours, as far as Patchwork's events show it.

An event names no relation, and its actor only where a patch came in or went out by a request to
itself; those that a request named have none. So a patch without an actor counts as ours only if it
came in right before one that is. Dissolving a pair, and what an administrator does by hand, leaves
no event at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from patchsync.patchwork.schemas import RelationEvent

# The events of one request follow each other within this: saving one patch takes far less.
ONE_REQUEST = timedelta(seconds=2)


def placed_by_us(
    members: Collection[int], newest: Mapping[int, RelationEvent], user_id: int
) -> bool:
    """Whether a relation shows to have been made by one user alone.

    Args:
        members: all patches of the relation, two at least.
        newest: the newest event by patch, of all projects that were read.
        user_id: the user.

    Returns:
        False where it was not, and where that cannot be said.
    """
    if not all(patch_id in newest for patch_id in members):
        return False
    last_own = None
    for event in sorted((newest[patch_id] for patch_id in members), key=lambda e: -e.id):
        if event.actor_id != user_id and (
            event.actor_id is not None
            or last_own is None
            or abs(last_own - event.date) > ONE_REQUEST
        ):
            return False
        last_own = event.date
    return True

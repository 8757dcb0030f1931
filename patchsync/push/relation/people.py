"""What people did to relations since we last looked: what we left there against what is there.

Whoever related them: two patches that were together and are not any more were parted by a person,
and two that are together and were not were related by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# The relation of each patch; a patch that is in none is alone in its own
Relations = dict[int, frozenset[int]]

# Two patches, the lower id first
Pair = tuple[int, int]


@dataclass(frozen=True)
class Acts:
    """What people did."""

    parted: frozenset[Pair]
    # Of those, the patches that are in no relation now
    alone: frozenset[int]
    # The patches of relations that a person made, or put something into: none of it is ours
    related: frozenset[int]


def acts_of_people(left: Relations, present: Relations) -> Acts:
    """The difference; `left`: as we left them. What is gone from Patchwork is not in `present`."""
    parted = {
        (min(patch_id, other), max(patch_id, other))
        for patch_id, members in present.items()
        for other in (left[patch_id] - members) & present.keys()
    }
    touched = {patch_id for pair in parted for patch_id in pair}
    return Acts(
        parted=frozenset(parted),
        alone=frozenset(each for each in touched if len(present[each]) == 1),
        related=frozenset().union(*_grown(left, present), *_split(left, present)),
    )


def _grown(left: Relations, present: Relations) -> Iterator[frozenset[int]]:
    """The relations that hold patches together that were not."""
    for members in set(present.values()):
        # A ledger of an earlier version did not note it of patches that are in no group.
        if not any(members <= left[patch_id] for patch_id in members):
            yield members


def _split(left: Relations, present: Relations) -> Iterator[frozenset[int]]:
    """The parts of relations of which several hold patches together.

    From one relation patches go one by one: of these parts all but one, at least, a person made.
    """
    for before in set(left.values()):
        parts = {present[patch_id] for patch_id in before & present.keys()}
        together = [part for part in parts if len(part & before) > 1]
        if len(together) > 1:
            yield from together


def arrived(before: Mapping[int, frozenset[int]], after: Relations, present: Relations) -> bool:
    """Whether a request shows to have been carried out, whatever a person did since.

    By what it puts together, if anything; else by what it takes apart.
    """
    there = after.keys() & present.keys()
    if any(after[each] - before[each] for each in there):
        return any((after[each] - before[each]) & present[each] for each in there)
    return not any((before[each] - after[each]) & present[each] for each in there)

"""Connected components of sets."""

from __future__ import annotations

from collections.abc import Iterable, Set


def components(sets: Iterable[Set[int]]) -> list[set[int]]:
    """What the sets link, as sets that have nothing in common."""
    home: dict[int, set[int]] = {}
    for members in sets:
        linked = set(members)
        for member in members:
            linked |= home.get(member, set())
        for member in linked:
            home[member] = linked
    return list({id(linked): linked for linked in home.values()}.values())

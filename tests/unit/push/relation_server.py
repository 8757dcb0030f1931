"""Patchwork's rules for relations as one pure function, and the fewest requests by trying all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from functools import cache
from itertools import combinations

# The relations; a set of one patch is a relation that the API does not show.
State = frozenset[frozenset[int]]


class Refused(Exception):
    """The status that the server answers with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def apply(state: State, patch_id: int, related: Sequence[int], may: Set[int]) -> State:
    """The relations after PATCH patches/<patch_id>/ {"related": related}; Refused.

    As in `PatchDetailSerializer.update` of Patchwork 3.2.1, api/patch.py, apart from rights: it
    looks at the patches named and at the relation of the patch itself only, this at all.
    """
    own = next((relation for relation in state if patch_id in relation), None)
    touched = {relation for relation in state if relation & {patch_id, *related}}
    if not may.issuperset({patch_id, *related}.union(*touched)):
        raise Refused(403)
    if not related:
        if own is None:
            return state
        rest = own - {patch_id}
        return (state - {own}) | ({rest} if len(own) > 2 else frozenset())
    if len(touched) > 1:
        raise Refused(409)
    return (state - touched) | {frozenset({patch_id, *related}).union(*touched)}


def visible(state: State) -> State:
    """What the API shows."""
    return frozenset(relation for relation in state if len(relation) > 1)


def partitions(patches: Sequence[int]) -> Iterator[tuple[frozenset[int], ...]]:
    """All ways to put the patches into sets."""
    if not patches:
        yield ()
        return
    first, rest = patches[0], patches[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            for tail in partitions([patch_id for patch_id in rest if patch_id not in others]):
                yield (frozenset({first, *others}), *tail)


@cache
def neighbours(state: State, patches: frozenset[int]) -> frozenset[State]:
    """Whatever one request can make of the relations."""
    requests: list[tuple[int, ...]] = [(patch_id,) for patch_id in patches]
    # What is related is the same whichever of the patches it is said of.
    for size in range(1, len(patches) + 1):
        requests += ((named[0], *named) for named in combinations(sorted(patches), size))
    found = set()
    for patch_id, *related in requests:
        with suppress(Refused):
            found.add(apply(state, patch_id, related, patches))
    return frozenset(found - {state})


def distances(
    start: State, patches: frozenset[int], legal: Callable[[State], bool]
) -> dict[State, int]:
    """By what the API shows: the fewest requests to there from `start`, over legal states."""
    steps = {start: 0}
    waiting = deque([start])
    shown: dict[State, int] = {}
    while waiting:
        state = waiting.popleft()
        shown.setdefault(visible(state), steps[state])
        for after in neighbours(state, patches):
            if after not in steps and legal(after):
                steps[after] = steps[state] + 1
                waiting.append(after)
    return shown

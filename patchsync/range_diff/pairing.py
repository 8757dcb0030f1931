"""Which patch of a series became which of another: as `git range-diff` finds it, or as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from patchsync.errors import PatchTooLarge
from patchsync.range_diff.assignment import assign
from patchsync.range_diff.compare import cost
from patchsync.range_diff.patch_text import PatchText

# In each of two series; all are held against all.
MOST_PATCHES = 200
# git's: so much of a patch may change before it counts as another one.
_CREATION_FACTOR = 60  # per cent
_NEVER = 1 << 16


class Pair(NamedTuple):
    """A patch and what became of it; None on the left: it is new, on the right: it was dropped."""

    left: PatchText | None
    right: PatchText | None
    # In its series, counted from 1; 0 of None
    left_number: int
    right_number: int

    @property
    def sign(self) -> str:
        """As git tells them: `=` equal, `!` changed, `<` dropped, `>` new."""
        if self.right is None:
            return "<"
        if self.left is None:
            return ">"
        return "=" if self.left.text == self.right.text else "!"


def pair(left: Sequence[PatchText], right: Sequence[PatchText]) -> list[Pair]:
    """The pairs that `git range-diff` finds, in its order.

    Raises:
        PatchTooLarge: there are too many patches, or too large ones.
    """
    if max(len(left), len(right)) > MOST_PATCHES:
        raise PatchTooLarge(f"a series has more than {MOST_PATCHES} patches")
    became = _equal(left, right)
    costs = [
        [_cost(left, at, right, to, became) for at in range(len(left) + len(right))]
        for to in range(len(left) + len(right))
    ]
    for to, at in enumerate(assign(costs)[: len(right)]):
        if at < len(left):
            became[at] = to
    return arrange(left, right, became)


def arrange(
    left: Sequence[PatchText], right: Sequence[PatchText], became: Mapping[int, int]
) -> list[Pair]:
    """The pairs in the order of git: that of the right side, dropped ones where they stood.

    `became`: by index on the left the index on the right, each at most once.
    """
    came_from = {to: at for at, to in became.items()}
    pairs = []
    shown = set()
    at = 0
    for to in [*range(len(right)), None]:
        # A dropped one stands behind all that stood before it.
        while at < len(left) and (at in shown or at not in became):
            if at not in became:
                pairs.append(Pair(left[at], None, at + 1, 0))
            at += 1
        if to is None:
            continue
        before = came_from.get(to)
        if before is None:
            pairs.append(Pair(None, right[to], 0, to + 1))
        else:
            pairs.append(Pair(left[before], right[to], before + 1, to + 1))
            shown.add(before)
    return pairs


def _equal(left: Sequence[PatchText], right: Sequence[PatchText]) -> dict[int, int]:
    """Those with one diff, by index; of several with the same the first each."""
    by_diff: dict[bytes, list[int]] = {}
    for at, patch in enumerate(left):
        by_diff.setdefault(patch.diff, []).append(at)
    became = {}
    for to, patch in enumerate(right):
        if same := by_diff.get(patch.diff):
            became[same.pop(0)] = to
    return became


def _cost(
    left: Sequence[PatchText],
    at: int,
    right: Sequence[PatchText],
    to: int,
    equal: Mapping[int, int],
) -> int:
    """What it costs that a patch became another one; beyond the end: that it has no counterpart."""
    if at < len(left) and to < len(right):
        if equal.get(at) == to:
            return 0
        if at in equal or to in equal.values():
            return _NEVER
        return cost(left[at], right[to])
    if at < len(left):
        return _NEVER if at in equal else left[at].diff_lines * _CREATION_FACTOR // 100
    if to < len(right):
        return _NEVER if to in equal.values() else right[to].diff_lines * _CREATION_FACTOR // 100
    return 0

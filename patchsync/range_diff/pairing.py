"""Which patch of a series became which of another: as `git range-diff` finds it, or as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from patchsync.errors import PatchTooLarge
from patchsync.range_diff.assignment import assign
from patchsync.range_diff.compare import cost, numbered
from patchsync.range_diff.patch_text import PatchText

# In each of two series
MOST_PATCHES = 150
# Of all that are compared, each as often as it is: all are with all.
MOST_LINES = 3_000_000
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
    costs = _costs(left, right, became)
    for at, to in enumerate(assign(costs)[: len(left)]):
        if 0 <= to < len(right):
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
    """Those with one diff, by index; of several the last, as git's hash map finds it.

    (Of more than 51 patches git's map grows, and finds the first.)
    """
    by_diff: dict[bytes, list[int]] = {}
    for at, patch in enumerate(left):
        by_diff.setdefault(patch.diff, []).append(at)
    became = {}
    for to, patch in enumerate(right):
        if same := by_diff.get(patch.diff):
            became[same.pop()] = to
    return became


def _costs(
    left: Sequence[PatchText], right: Sequence[PatchText], equal: Mapping[int, int]
) -> list[list[int]]:
    """What it costs that a patch of the left (a column) became one of the right (a row).

    Behind those are as many columns and rows as are needed for patches without a counterpart.
    """
    equal_right = {to: at for at, to in equal.items()}
    lines = [patch.diff.split(b"\n")[:-1] for patch in (*left, *right)]
    others = [
        sum(len(each) for at, each in enumerate(side) if at not in paired)
        for side, paired in ((lines[: len(left)], equal), (lines[len(left) :], equal_right))
    ]
    if others[0] * (len(right) - len(equal)) + others[1] * (len(left) - len(equal)) > MOST_LINES:
        raise PatchTooLarge("the series have too many lines to hold each patch against each")
    texts = numbered(lines)
    old_texts, new_texts = texts[: len(left)], texts[len(left) :]
    alone = [_alone(patch, is_equal=at in equal) for at, patch in enumerate(left)]
    costs = []
    for to, new in enumerate(right):
        if (same := equal_right.get(to)) is not None:
            row = [0 if at == same else _NEVER for at in range(len(left))]
        else:
            text = new_texts[to]
            row = [_NEVER if at in equal else cost(old, text) for at, old in enumerate(old_texts)]
        costs.append(row + [_alone(new, is_equal=to in equal_right)] * len(right))
    return costs + [alone + [0] * len(right) for _ in left]


def _alone(patch: PatchText, *, is_equal: bool) -> int:
    return _NEVER if is_equal else patch.diff_lines * _CREATION_FACTOR // 100

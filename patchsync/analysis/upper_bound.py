"""How alike two patches are at most, by what costs nothing to know: how long their texts are.

Of a list's pairs that touch the same file one in a hundred is alike. The others are seen here not
to be, mostly, and their texts are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from patchsync.analysis.settings import Thresholds

# A little more than the half per cent that rounding adds to a score at most
_ROUNDED = 0.51
_ROUNDING = 1e-6  # more than what sums of floating point numbers can be wrong by


class SharedPart(NamedTuple):
    """A hunk that two patches have under the same heading of the same file, or a renamed file.

    Lengths are those of the normalised lines; None where there are none, all None for a renamed
    file with the same similarity index.
    """

    file: int  # tells files apart; below 0 where none has a name
    deletions: int | None
    insertions: int | None
    other_deletions: int | None
    other_insertions: int | None

    @property
    def is_rename(self) -> bool:
        """Whether it is a renamed file."""
        return self[1:] == (None, None, None, None)


def finds_all(thresholds: Thresholds, total: float) -> bool:
    """Whether only patches that share a part can have a weighted rating of `total`."""
    by_equal_names = thresholds.filename >= 1 and thresholds.heading >= 1
    return by_equal_names and thresholds.message_diff_weight + _ROUNDING < total


def most_alike_diffs(parts: Iterable[SharedPart]) -> float:
    """What the diff rating of two patches is at most, from 0 to 1, by the parts that they share."""
    files: dict[int, list[float]] = {}
    for part in parts:
        if part.is_rename:
            return 1.0  # It counts beside its hunks, or instead of them.
        for own, other in (part[1::2], part[2::2]):
            if own is not None and other is not None:
                files.setdefault(part.file, []).append(most_alike(own, other))
    return sum(sum(file) / len(file) for file in files.values()) / len(files) if files else 0.0


def most_alike(length: int, other: int) -> float:
    """What the rating of two texts of these lengths is at most, from 0 to 1."""
    both = length + other
    return min(1.0, (200 * min(length, other) / both + _ROUNDED) / 100) if both else 1.0


def may_reach(message: float, diff: float, thresholds: Thresholds, total: float) -> bool:
    """Whether ratings of at most these can have a weighted rating of `total`."""
    weight = thresholds.message_diff_weight
    return weight * message + (1 - weight) * diff + _ROUNDING >= total

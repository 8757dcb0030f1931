"""Comparing what is new with all that there is: which patches are alike."""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract

from patchsync.analysis.builtin.kept import Kept, KeptPatches
from patchsync.analysis.rating import (
    Rating,
    Shape,
    lines_ratio,
    near_in_time,
    rate,
    reaches,
    sorted_words,
    too_large,
)
from patchsync.analysis.thresholds import Thresholds

# Of texts that are held in memory, in bytes
_MOST_TEXT = 500_000_000
# A little more than the half per cent that rounding adds to a score at most
_ROUNDED = 0.51


class Comparing:
    """Looks for patches that are alike by the thresholds, among those that are kept."""

    def __init__(self, kept: KeptPatches, thresholds: Thresholds) -> None:
        self._kept = kept
        self._thresholds = thresholds
        self._names = _FileNames(kept, thresholds.filename)
        self._messages: dict[int, str] = {}
        self._shapes: dict[int, Shape] = {}
        self._held = 0  # bytes

    def candidates(self, patch: Kept, *, earlier_only: bool = False) -> list[int]:
        """The patches that PaStA compares this one with: mails, and for a mail commits too.

        They touch a file of the same or a similar name, are near in time, and their diffs are not
        too different in length. `earlier_only`: those that came before it.
        """
        limit = self._thresholds
        files = self._kept.files_of(patch.number)
        lines = self._kept.touching(self._names.similar(files), patch)
        own = lines.pop(patch.number, None)
        if own is None:
            return []  # It touches nothing.
        found = [
            number
            for number, theirs in lines.items()
            if (number < patch.number or not earlier_only)
            and lines_ratio(own, theirs) >= limit.diff_lines_ratio
        ]
        if limit.filename >= 1 and not limit.author_date_interval:
            return found
        return [other.number for other in self._kept.kept(found) if self._comparable(patch, other)]

    def alike(self, patch: Kept, candidates: Iterable[int], total: float) -> list[int]:
        """Those of the candidates with a rating of at least `total`."""
        limit = self._thresholds
        numbers = list(candidates)
        if not numbers:
            return []  # A commit that nothing can be compared with has no texts.
        self._make_room()
        self._load_messages([*numbers, patch.number])
        own = self._messages[patch.number]
        weight = limit.message_diff_weight
        least = 100 * (total - (1 - weight)) / weight - _ROUNDED if weight else 0.0
        if least > 100:
            return []
        messages_there = (self._messages[number] for number in numbers)
        rated = extract(
            own,
            # What is None is passed over.
            [None if too_large(own, each) else each for each in messages_there],
            scorer=ratio,
            processor=None,
            score_cutoff=max(0.0, least),
            limit=None,
        )
        if not rated:
            return []
        messages = {numbers[at]: round(found) / 100 for _, found, at in rated}
        self._load_shapes([*messages, patch.number])
        shape = self._shapes[patch.number]
        return [
            number
            for number, message in messages.items()
            if reaches(shape, self._shapes[number], message, total, limit)
        ]

    def ratings(self, patch: Kept, candidates: Iterable[int]) -> dict[int, Rating]:
        """The full rating of each candidate."""
        numbers = list(candidates)
        if not numbers:
            return {}
        self._make_room()
        self._load_shapes([*numbers, patch.number])
        shape = self._shapes[patch.number]
        return {number: rate(shape, self._shapes[number], self._thresholds) for number in numbers}

    def _comparable(self, patch: Kept, other: Kept) -> bool:
        limit = self._thresholds
        # Only where PaStA looks for similar names does it tell reverts from others.
        if limit.filename < 1 and patch.is_revert != other.is_revert:
            return False
        mail, second = (other, patch) if patch.is_commit else (patch, other)
        days = limit.author_date_interval
        return near_in_time(mail.date, second.date, days, other_is_commit=second.is_commit)

    def _load_messages(self, numbers: list[int]) -> None:
        for number, message in self._kept.messages(set(numbers) - self._messages.keys()):
            self._messages[number] = message
            self._held += getsizeof(message)

    def _load_shapes(self, numbers: list[int]) -> None:
        for number, shape in self._kept.shapes(set(numbers) - self._shapes.keys()):
            self._shapes[number] = shape
            self._held += _size(shape)

    def _make_room(self) -> None:
        if self._held > _MOST_TEXT:
            self._messages.clear()
            self._shapes.clear()
            self._held = 0


class _FileNames:
    """Which files have names that are similar enough, where that is asked (FILENAME_THRESHOLD)."""

    def __init__(self, kept: KeptPatches, threshold: float) -> None:
        self._kept = kept
        self._threshold = threshold
        self._words: dict[int, str] = {}
        self._found: dict[int, list[int]] = {}

    def similar(self, files: Iterable[int]) -> list[int]:
        """The files, and those with similar names."""
        if self._threshold >= 1:
            return list(files)
        self._words = self._words or {
            number: sorted_words(name) for number, name in self._kept.file_names()
        }
        return [each for file in files for each in self._similar(file)]

    def _similar(self, file: int) -> list[int]:
        if file not in self._found:
            least = max(0.0, 100 * self._threshold - _ROUNDED)
            rated = extract(
                self._words[file],
                self._words,
                scorer=ratio,
                processor=None,
                score_cutoff=least,
                limit=None,
            )
            self._found[file] = [
                each for _, found, each in rated if round(found) / 100 >= self._threshold
            ]
        return self._found[file]


def _size(shape: Shape) -> int:
    texts = [
        text or ""
        for file in shape.files.values()
        for sides in file.hunks.values()
        for text in sides
    ]
    return sum(map(getsizeof, [shape.message, *texts]))

"""Comparing a patch with others: which of them are candidates, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract

from patchsync.analysis.builtin.cache import CachedPatch, PatchCache
from patchsync.analysis.rating import (
    Rating,
    Shape,
    is_too_long,
    lines_ratio,
    near_in_time,
    rate,
    reaches,
    similar,
    sorted_words,
)
from patchsync.analysis.settings import Thresholds
from patchsync.analysis.upper_bound import finds_all, may_reach, most_alike, most_alike_diffs

# Of messages and shapes that are held in memory, in bytes, by all processes together; and what a
# file or hunk takes beside its text
_MOST_HELD = 500_000_000
_PART_BYTES = 300
# A little more than the half per cent that rounding adds to a score at most
_ROUNDED = 0.51


class Comparer:
    """Looks for patches that are alike by the thresholds, among those of a cache."""

    def __init__(self, cache: PatchCache, thresholds: Thresholds, *, share: int = 1) -> None:
        """`share`: so many others, this one too, hold texts at the same time."""
        self._cache = cache
        self._thresholds = thresholds
        self._share = share
        self._file_names = _FileNames(cache, thresholds.filename)
        self._messages: dict[int, str] = {}
        self._shapes: dict[int, Shape] = {}
        self._held = 0  # bytes

    def candidates(self, patch: CachedPatch, *, earlier_only: bool = False) -> list[int]:
        """The patches that PaStA compares this one with: mails, and for a mail commits too.

        They touch a file of the same or a similar name, are near in time, and their diffs are not
        too different in length. `earlier_only`: those that came before it.
        """
        limit = self._thresholds
        files = self._cache.files_of(patch.number)
        lines = self._cache.touching(self._file_names.similar(files), patch)
        own = lines.pop(patch.number, None)
        if own is None:
            return []  # It touches nothing.
        numbers = [
            number
            for number, theirs in lines.items()
            if (number < patch.number or not earlier_only)
            and lines_ratio(own, theirs) >= limit.diff_lines_ratio
        ]
        if limit.filename >= 1 and not limit.author_date_interval:
            return numbers
        others = self._cache.patches(numbers)
        return [other.number for other in others if self._comparable(patch, other)]

    def hopeful(self, patch: CachedPatch, total: float) -> dict[int, float]:
        """The earlier candidates that may have a weighted rating of `total`, by number.

        With what the rating of their diffs is at most, 0 to 1.
        """
        limit = self._thresholds
        if not finds_all(limit, total):
            return dict.fromkeys(self.candidates(patch, earlier_only=True), 1.0)
        found = {}
        shared = self._cache.sharing(patch, limit.diff_lines_ratio)
        for number, (own, message, parts) in shared.items():
            diff = most_alike_diffs(parts)
            if may_reach(most_alike(own, message), diff, limit, total):
                found[number] = diff
        if any(part.file < 0 for number in found for part in shared[number][2]):
            # It is compared, but who shares nothing else is no candidate by it.
            candidates = set(self.candidates(patch, earlier_only=True))
            found = {number: diff for number, diff in found.items() if number in candidates}
        if not limit.author_date_interval:
            return found
        others = self._cache.patches(found)
        return {
            other.number: found[other.number] for other in others if self._comparable(patch, other)
        }

    def likely(self, patch: CachedPatch, others: list[int], total: float) -> dict[int, float]:
        """Of these the ones whose message lets the two have a weighted rating of `total`, 0 to 1.

        With the rating of the two messages. One call into C, which nothing interrupts.
        """
        self._make_room()
        self._load_messages([*others, patch.number])
        own = self._messages[patch.number]
        weight = self._thresholds.message_diff_weight
        least = 100 * (total - (1 - weight)) / weight - _ROUNDED if weight else 0.0
        if least > 100:
            return {}
        rated, compared = {}, {}
        for number in others:
            message = self._messages[number]
            if message == own:
                rated[number] = 1.0
            elif not is_too_long(own) and not is_too_long(message):
                compared[number] = message
            elif least <= 0:
                rated[number] = 0.0
        found = extract(
            own, compared, scorer=ratio, processor=None, score_cutoff=max(0.0, least), limit=None
        )
        return rated | {number: round(score) / 100 for _, score, number in found}

    def reaches(self, patch: CachedPatch, other: int, message: float, total: float) -> bool:
        """Whether the weighted rating of the two is at least `total`, from 0 to 1.

        `message`: as `likely` found it.
        """
        shapes = self._shape(patch.number), self._shape(other)
        return reaches(*shapes, message, total, self._thresholds)

    def rating(self, patch: CachedPatch, other: int) -> Rating:
        """The full rating of the two."""
        return rate(self._shape(patch.number), self._shape(other), self._thresholds)

    def _comparable(self, patch: CachedPatch, other: CachedPatch) -> bool:
        limit = self._thresholds
        # Only where PaStA looks for similar names does it tell reverts from others.
        if limit.filename < 1 and patch.is_revert != other.is_revert:
            return False
        mail, second = (other, patch) if patch.is_commit else (patch, other)
        days = limit.author_date_interval
        return near_in_time(mail.date, second.date, days, other_is_commit=second.is_commit)

    def _load_messages(self, numbers: list[int]) -> None:
        # Not `set - keys()`, which walks through all keys
        for number, message in self._cache.messages(set(numbers).difference(self._messages)):
            self._messages[number] = message
            self._held += getsizeof(message)

    def _shape(self, number: int) -> Shape:
        # One at a time: what many others cost is not the fault of the mail in hand.
        if number not in self._shapes:
            self._make_room()
            [(_, shape)] = self._cache.shapes([number])
            self._held += _size(shape)
            self._shapes[number] = shape
        return self._shapes[number]

    def _make_room(self) -> None:
        if self._held > _MOST_HELD // self._share:
            self._messages.clear()
            self._shapes.clear()
            self._held = 0


class _FileNames:
    """Which files have names that are similar enough, where that is asked (FILENAME_THRESHOLD)."""

    def __init__(self, cache: PatchCache, threshold: float) -> None:
        self._cache = cache
        self._threshold = threshold
        self._words: dict[int, str] = {}
        self._similar_to: dict[int, list[int]] = {}

    def similar(self, files: Iterable[int]) -> list[int]:
        """The files, and those with similar names, by their ids."""
        if self._threshold >= 1:
            return list(files)
        self._words = self._words or {
            number: sorted_words(name) for number, name in self._cache.file_names()
        }
        return [other for file in files for other in self._similar(file)]

    def _similar(self, file: int) -> list[int]:
        if file not in self._similar_to:
            matches = similar(self._words[file], self._words, self._threshold)
            self._similar_to[file] = [other for _, other in matches]
        return self._similar_to[file]


def _size(shape: Shape) -> int:
    """What a shape takes of memory, in bytes, about."""
    hunks = [hunk for file in shape.files.values() for hunk in file.hunks.values()]
    texts = [shape.message, *(text or "" for hunk in hunks for text in hunk)]
    return sum(map(getsizeof, texts)) + _PART_BYTES * (len(shape.files) + len(hunks))

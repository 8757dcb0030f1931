"""Comparing each new patch with those that came before it, and keeping which are alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from sys import getsizeof

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract

from patchsync.analysis.builtin.cache import CachedPatch, PatchCache
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.rating import (
    Rating,
    Shape,
    lines_ratio,
    near_in_time,
    rate,
    reaches,
    similar,
    sorted_words,
    too_long_to_compare,
)
from patchsync.analysis.settings import Thresholds

# Of texts that are held in memory, in bytes
_MOST_TEXT = 500_000_000
# A little more than the half per cent that rounding adds to a score at most
_ROUNDED = 0.51
# Patches that are read at once, and seconds after which what was compared is committed
_AT_ONCE = 100
_COMMIT_SECONDS = 2.0
# Keys of notes: the last number that was compared, and by which thresholds
_COMPARED = "compared"
_THRESHOLDS = "thresholds"


class Comparer:
    """Looks for patches that are alike by the thresholds, among those of a cache."""

    def __init__(self, cache: PatchCache, thresholds: Thresholds) -> None:
        self._cache = cache
        self._thresholds = thresholds
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

    def alike(self, patch: CachedPatch, candidates: Iterable[int], total: float) -> list[int]:
        """Those of the candidates with a weighted rating of at least `total`, from 0 to 1."""
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
        theirs = (self._messages[number] for number in numbers)
        rated = extract(
            own,
            # What is None is passed over.
            [None if too_long_to_compare(own, message) else message for message in theirs],
            scorer=ratio,
            processor=None,
            score_cutoff=max(0.0, least),
            limit=None,
        )
        if not rated:
            return []
        messages = {numbers[at]: round(score) / 100 for _, score, at in rated}
        self._load_shapes([*messages, patch.number])
        shape = self._shapes[patch.number]
        return [
            number
            for number, message in messages.items()
            if reaches(shape, self._shapes[number], message, total, limit)
        ]

    def ratings(self, patch: CachedPatch, candidates: Iterable[int]) -> dict[int, Rating]:
        """The full rating of each candidate."""
        numbers = list(candidates)
        if not numbers:
            return {}
        self._make_room()
        self._load_shapes([*numbers, patch.number])
        shape = self._shapes[patch.number]
        return {number: rate(shape, self._shapes[number], self._thresholds) for number in numbers}

    def _comparable(self, patch: CachedPatch, other: CachedPatch) -> bool:
        limit = self._thresholds
        # Only where PaStA looks for similar names does it tell reverts from others.
        if limit.filename < 1 and patch.is_revert != other.is_revert:
            return False
        mail, second = (other, patch) if patch.is_commit else (patch, other)
        days = limit.author_date_interval
        return near_in_time(mail.date, second.date, days, other_is_commit=second.is_commit)

    def _load_messages(self, numbers: list[int]) -> None:
        for number, message in self._cache.messages(set(numbers) - self._messages.keys()):
            self._messages[number] = message
            self._held += getsizeof(message)

    def _load_shapes(self, numbers: list[int]) -> None:
        for number, shape in self._cache.shapes(set(numbers) - self._shapes.keys()):
            self._shapes[number] = shape
            self._held += _size(shape)

    def _make_room(self) -> None:
        if self._held > _MOST_TEXT:
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
    texts = [
        text or "" for file in shape.files.values() for hunk in file.hunks.values() for text in hunk
    ]
    return sum(map(getsizeof, [shape.message, *texts]))


def link_new(
    cache: PatchCache, comparer: Comparer, limit: Thresholds, on_progress: OnProgress
) -> None:
    """Compare what was not compared yet; by other thresholds than before, all of it."""
    _demand_thresholds(cache, limit)
    compared = int(cache.note(_COMPARED) or 0)
    done, of = 0, cache.count_after(compared)
    while patches := cache.after(compared, _AT_ONCE):
        until = time.monotonic() + _COMMIT_SECONDS
        with cache.transaction():
            for patch in patches:
                _link(cache, comparer, limit, patch)
                compared, done = patch.number, done + 1
                if time.monotonic() > until:
                    break
            cache.set_note(_COMPARED, str(compared))
        on_progress("comparing", done, of)


def _demand_thresholds(cache: PatchCache, limit: Thresholds) -> None:
    """Forget what is alike by other thresholds."""
    now = json.dumps(limit)
    if cache.note(_THRESHOLDS) == now:
        return
    with cache.transaction() as sql:
        for table in ("link", "undecided", "best"):
            sql.execute(f"DELETE FROM {table}")  # noqa: S608
        sql.execute("INSERT OR IGNORE INTO regroup SELECT number FROM patch")
        cache.set_note(_COMPARED, None)
        cache.set_note(_THRESHOLDS, now)


def _link(cache: PatchCache, comparer: Comparer, limit: Thresholds, patch: CachedPatch) -> None:
    """Keep which earlier patches a patch is alike with, and which are left to a person."""
    candidates = comparer.candidates(patch, earlier_only=True)
    likely = comparer.alike(patch, candidates, min(limit.autoaccept, limit.interactive))
    alike = set(likely)
    if limit.interactive < limit.autoaccept:
        alike = set(comparer.alike(patch, likely, limit.autoaccept))
    if limit.autoaccept <= 1:  # PaStA rates what was picked from a commit 1.
        picks = cache.pickers_of if patch.is_commit else cache.commits_picked_by
        alike.update(other for other in picks(patch) if other < patch.number)
    _raise_best_ratings(cache, comparer, patch, candidates)
    undecided = set(likely) - alike
    with cache.transaction() as sql:
        for table, others in (("link", alike), ("undecided", undecided)):
            sql.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES (?, ?)",  # noqa: S608
                [(other, patch.number) for other in others],
            )
        sql.executemany("INSERT OR IGNORE INTO regroup VALUES (?)", [(other,) for other in alike])


def _raise_best_ratings(
    cache: PatchCache, comparer: Comparer, patch: CachedPatch, candidates: list[int]
) -> None:
    """Where false positives are, the order of joining follows a mail's best candidate."""
    best = cache.best_ratings(candidates, upstream=patch.is_commit)
    for number, rating in comparer.ratings(patch, best).items():
        if rating.order > best[number]:
            cache.set_best_rating(number, rating.order, upstream=patch.is_commit)
            cache.sql.execute("INSERT OR IGNORE INTO regroup VALUES (?)", (number,))

"""Finding which patches are alike: each is compared with those that came before it.

What is found is told, not kept: several processes may do it side by side.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from patchsync.analysis.builtin.cache import COMMIT_SECONDS, Best, CachedPatch, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.settings import Thresholds
from patchsync.analysis.upper_bound import may_reach

# Patches, and messages that one call into C compares
_AT_ONCE = 100


class Position(NamedTuple):
    """How far comparing is."""

    # All up to this number are compared with all that came before them.
    compared: int = 0
    # This one is with those up to another number.
    current: int = 0
    behind: int = 0


class Task(NamedTuple):
    """Patches to be compared: those behind a position, up to a number."""

    place: int  # among the tasks
    begin: Position
    last: int


class BetterCandidate(NamedTuple):
    """A patch that may be better than a mail's best candidate."""

    number: int  # of the mail
    candidate: Best
    upstream: bool  # whether it is a commit


@dataclass
class Found:
    """What was found since the last time."""

    # The earlier one first
    links: list[tuple[int, int]] = field(default_factory=list)
    # Pairs that are left to a person
    undecided: list[tuple[int, int]] = field(default_factory=list)
    better: list[BetterCandidate] = field(default_factory=list)


class Step(NamedTuple):
    """A part of a task that is done."""

    place: int  # of the task
    position: Position
    patches: int  # so many are through
    found: Found


class PairFinder:
    """Compares the patches of a cache, which it only reads."""

    def __init__(
        self,
        cache: PatchCache,
        comparer: Comparer,
        thresholds: Thresholds,
        rate_all: Mapping[bool, bool],
    ) -> None:
        """`rate_all`: whether the best candidate of mails is noted, of commits or (False) mails."""
        self._cache = cache
        self._comparer = comparer
        self._thresholds = thresholds
        self._least = min(thresholds.autoaccept, thresholds.interactive)
        self._rate_all = rate_all
        self._found = Found()

    def steps(self, task: Task, in_hand: InHand) -> Iterator[Step]:
        """Do a task; yields what was found every few seconds, and at its end."""
        compared, patches = task.begin.compared, 0
        until = time.monotonic() + COMMIT_SECONDS
        for patch in self._patches(task):
            in_hand.take(patch.name)
            behind = task.begin.behind if patch.number == task.begin.current else 0
            for reached in self._link(patch, behind, in_hand):
                if time.monotonic() > until:
                    in_hand.put_down()
                    position = Position(compared, patch.number, reached)
                    yield Step(task.place, position, patches, self._take_found())
                    patches, until = 0, time.monotonic() + COMMIT_SECONDS
                    in_hand.take(patch.name)
            in_hand.put_down()
            compared, patches = patch.number, patches + 1
            if time.monotonic() > until:
                yield Step(task.place, Position(compared), patches, self._take_found())
                patches, until = 0, time.monotonic() + COMMIT_SECONDS
        yield Step(task.place, Position(task.last), patches, self._take_found())

    def _take_found(self) -> Found:
        found, self._found = self._found, Found()
        return found

    def _patches(self, task: Task) -> Iterator[CachedPatch]:
        behind = task.begin.compared
        while patches := self._cache.after(behind, _AT_ONCE):
            for patch in patches:
                if patch.number > task.last:
                    return
                yield patch
            behind = patches[-1].number

    def _link(self, patch: CachedPatch, behind: int, in_hand: InHand) -> Iterator[int]:
        """Find which earlier patches a patch is alike with, and which are left to a person.

        Those behind a number; yields how far it is.
        """
        cache, comparer, limit = self._cache, self._comparer, self._thresholds
        picked: set[int] = set()
        if limit.autoaccept <= 1:  # PaStA rates what was picked from a commit 1.
            picks = cache.pickers_of if patch.is_commit else cache.commits_picked_by
            picked.update(other for other in picks(patch) if other < patch.number)
        hopeful = comparer.hopeful(patch, self._least)
        rate_all = self._rate_all[patch.is_commit]
        candidates = comparer.candidates(patch, earlier_only=True) if rate_all else hopeful
        left = sorted(number for number in candidates if number > behind)
        for some in (left[at : at + _AT_ONCE] for at in range(0, len(left), _AT_ONCE)):
            in_hand.take(patch.name)
            likely = self._likely(patch, {each: hopeful[each] for each in some if each in hopeful})
            best = cache.best_ratings(some, upstream=patch.is_commit) if rate_all else {}
            for number in some:
                if number not in likely and number not in best:
                    continue
                in_hand.take(patch.name)
                if number in best:
                    self._rate(patch, number, best[number])
                if number in likely and self._reaches(patch, number, likely, self._least):
                    if limit.autoaccept <= self._least or self._reaches(
                        patch, number, likely, limit.autoaccept
                    ):
                        self._found.links.append((number, patch.number))
                    elif number not in picked:
                        self._found.undecided.append((number, patch.number))
                yield number
        self._found.links += ((number, patch.number) for number in picked)

    def _likely(self, patch: CachedPatch, hopeful: Mapping[int, float]) -> dict[int, float]:
        """Of these, with what their diffs' rating is at most, those whose messages leave hope."""
        likely = self._comparer.likely(patch, list(hopeful), self._least)
        return {
            number: message
            for number, message in likely.items()
            if may_reach(message, hopeful[number], self._thresholds, self._least)
        }

    def _reaches(
        self, patch: CachedPatch, number: int, likely: Mapping[int, float], total: float
    ) -> bool:
        return self._comparer.reaches(patch, number, likely[number], total)

    def _rate(self, patch: CachedPatch, number: int, best: float) -> None:
        """Where false positives are, the order of joining follows a mail's best candidate."""
        alike = self._comparer.rating(patch, number).order
        if alike > best:
            candidate = Best(alike, patch.number, reached=None)
            self._found.better.append(BetterCandidate(number, candidate, patch.is_commit))

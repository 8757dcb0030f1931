"""Keeping which patches are alike: each new one is compared with those that came before it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from patchsync.analysis.builtin.cache import COMMIT_SECONDS, Best, CachedPatch, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.settings import Thresholds
from patchsync.analysis.upper_bound import may_reach

# Patches, and messages that one call into C compares
_AT_ONCE = 100
# Keys of notes: the `_Position`, and by which thresholds
_COMPARED = "compared"
_THRESHOLDS = "thresholds"


class _Position(NamedTuple):
    """How far comparing is."""

    # All up to this number are compared with all that came before them.
    compared: int = 0
    # This one is with those up to another number.
    current: int = 0
    behind: int = 0


def link_new(
    cache: PatchCache,
    comparer: Comparer,
    limit: Thresholds,
    in_hand: InHand,
    on_progress: OnProgress,
) -> None:
    """Compare what was not compared yet; by other thresholds than before, all of it."""
    _demand_thresholds(cache, limit)
    position = _Position(*json.loads(cache.note(_COMPARED) or "[]"))
    done, of = 0, cache.count_after(position.compared)
    steps, at_end = _steps(cache, comparer, limit, in_hand, position), not of
    while not at_end:
        until = time.monotonic() + COMMIT_SECONDS
        with cache.transaction():
            at_end = True
            for now in steps:
                done += now.compared > position.compared
                position = now
                if time.monotonic() > until:
                    at_end = False
                    break
            cache.set_note(_COMPARED, json.dumps(position))
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


def _steps(
    cache: PatchCache,
    comparer: Comparer,
    limit: Thresholds,
    in_hand: InHand,
    position: _Position,
) -> Iterator[_Position]:
    """Compare what is left from a position on; yields where it is whenever that may be kept."""
    compared = position.compared
    rated = {upstream: cache.has_best_ratings(upstream=upstream) for upstream in (False, True)}
    while patches := cache.after(compared, _AT_ONCE):
        for patch in patches:
            in_hand.take(patch.name)
            behind = position.behind if patch.number == position.current else 0
            for reached in _link(
                cache, comparer, limit, in_hand, patch, behind, rate_all=rated[patch.is_commit]
            ):
                yield _Position(compared, patch.number, reached)
            in_hand.put_down()
            compared = patch.number
            yield _Position(compared)


def _link(
    cache: PatchCache,
    comparer: Comparer,
    limit: Thresholds,
    in_hand: InHand,
    patch: CachedPatch,
    behind: int,
    *,
    rate_all: bool,
) -> Iterator[int]:
    """Keep which earlier patches a patch is alike with, and which are left to a person.

    Those behind a number; yields how far it is. `rate_all`: the best candidate of some is noted,
    and this patch may be a better one.
    """
    picked: set[int] = set()
    if limit.autoaccept <= 1:  # PaStA rates what was picked from a commit 1.
        picks = cache.pickers_of if patch.is_commit else cache.commits_picked_by
        picked.update(other for other in picks(patch) if other < patch.number)
    least = min(limit.autoaccept, limit.interactive)
    hopeful = comparer.hopeful(patch, least)
    candidates = comparer.candidates(patch, earlier_only=True) if rate_all else hopeful
    left = sorted(number for number in candidates if number > behind)
    for some in (left[at : at + _AT_ONCE] for at in range(0, len(left), _AT_ONCE)):
        in_hand.take(patch.name)
        likely = comparer.likely(patch, [number for number in some if number in hopeful], least)
        likely = {
            number: message
            for number, message in likely.items()
            if may_reach(message, hopeful[number], limit, least)
        }
        best = cache.best_ratings(some, upstream=patch.is_commit) if rate_all else {}
        wanted = [number for number in some if number in likely or number in best]
        for number in wanted:
            in_hand.take(patch.name)
            if number in best:
                _raise_best_rating(cache, comparer, patch, number, best[number])
            if number in likely and comparer.reaches(patch, number, likely[number], least):
                if limit.autoaccept <= least or comparer.reaches(
                    patch, number, likely[number], limit.autoaccept
                ):
                    _keep_link(cache, number, patch.number)
                elif number not in picked:
                    cache.sql.execute(
                        "INSERT OR IGNORE INTO undecided VALUES (?, ?)", (number, patch.number)
                    )
            yield number
    for number in picked:
        _keep_link(cache, number, patch.number)


def _keep_link(cache: PatchCache, earlier: int, later: int) -> None:
    cache.sql.execute("INSERT OR IGNORE INTO link (low, high) VALUES (?, ?)", (earlier, later))
    cache.sql.execute("INSERT OR IGNORE INTO regroup VALUES (?)", (earlier,))


def _raise_best_rating(
    cache: PatchCache, comparer: Comparer, patch: CachedPatch, number: int, best: float
) -> None:
    """Where false positives are, the order of joining follows a mail's best candidate."""
    order = comparer.rating(patch, number).order
    if order > best:
        now = Best(order, patch.number, reached=None)
        cache.set_best(number, now, upstream=patch.is_commit)
        cache.sql.execute("INSERT OR IGNORE INTO regroup VALUES (?)", (number,))

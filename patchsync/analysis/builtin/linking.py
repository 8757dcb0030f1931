"""Comparing each new patch with those that came before it, and keeping which are alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

from patchsync.analysis.builtin.comparing import Comparing
from patchsync.analysis.builtin.kept import Kept, KeptPatches
from patchsync.analysis.engine import Tell
from patchsync.analysis.thresholds import Thresholds

# Patches that are read at once, and seconds after which what was compared is kept
_AT_ONCE = 100
_KEEP_SECONDS = 2.0
_COMPARED = "compared"
_THRESHOLDS = "thresholds"


def link_new(kept: KeptPatches, comparing: Comparing, limit: Thresholds, tell: Tell) -> None:
    """Compare what was not compared yet; by other thresholds than before, all of it."""
    _demand_thresholds(kept, limit)
    compared = int(kept.note(_COMPARED) or 0)
    done, of = 0, kept.count_after(compared)
    while some := kept.after(compared, _AT_ONCE):
        until = time.monotonic() + _KEEP_SECONDS
        with kept.transaction():
            for patch in some:
                _link(kept, comparing, limit, patch)
                compared, done = patch.number, done + 1
                if time.monotonic() > until:
                    break
            kept.set_note(_COMPARED, str(compared))
        tell("comparing", done, of)


def _demand_thresholds(kept: KeptPatches, limit: Thresholds) -> None:
    """Forget what is alike by other thresholds."""
    now = json.dumps(limit)
    if kept.note(_THRESHOLDS) == now:
        return
    with kept.transaction():
        kept.sql.execute("DELETE FROM link")
        kept.sql.execute("DELETE FROM undecided")
        kept.sql.execute("DELETE FROM best")
        kept.sql.execute("INSERT OR IGNORE INTO regroup SELECT number FROM patch")
        kept.set_note(_COMPARED, None)
        kept.set_note(_THRESHOLDS, now)


def _link(kept: KeptPatches, comparing: Comparing, limit: Thresholds, patch: Kept) -> None:
    candidates = comparing.candidates(patch, earlier_only=True)
    likely = comparing.alike(patch, candidates, min(limit.autoaccept, limit.interactive))
    alike = set(likely)
    if limit.interactive < limit.autoaccept:
        alike = set(comparing.alike(patch, likely, limit.autoaccept))
    if limit.autoaccept <= 1:  # PaStA rates what was picked from a commit 1.
        picks = kept.pickers_of if patch.is_commit else kept.commits_picked_by
        alike.update(other for other in picks(patch) if other < patch.number)
    _raise_best(kept, comparing, patch, candidates)
    with kept.transaction():
        _insert(kept, "INSERT OR IGNORE INTO link VALUES (?, ?)", patch, alike)
        undecided = set(likely) - alike
        _insert(kept, "INSERT OR IGNORE INTO undecided VALUES (?, ?)", patch, undecided)
        kept.sql.executemany(
            "INSERT OR IGNORE INTO regroup VALUES (?)", [(other,) for other in alike]
        )


def _raise_best(
    kept: KeptPatches, comparing: Comparing, patch: Kept, candidates: list[int]
) -> None:
    """Where false positives are, the order of joining follows a mail's best candidate."""
    before = kept.bests(candidates, upstream=patch.is_commit)
    for number, rating in comparing.ratings(patch, before).items():
        if rating.order > before[number]:
            kept.set_best(number, rating.order, upstream=patch.is_commit)
            kept.sql.execute("INSERT OR IGNORE INTO regroup VALUES (?)", (number,))


def _insert(kept: KeptPatches, statement: str, patch: Kept, others: Iterable[int]) -> None:
    kept.sql.executemany(statement, [(other, patch.number) for other in others])

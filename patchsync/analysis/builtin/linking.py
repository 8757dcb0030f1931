"""Keeping which patches are alike: each new one is compared with those that came before it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence

from patchsync.analysis.builtin.cache import COMMIT_SECONDS, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.builtin.pairs import Found, PairFinder, Position, Step, Task
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.settings import Thresholds
from patchsync.fleet.processors import processors

# Below so many patches other processes are not worth their start.
_FEW = 300
# Patches of one task
_OF_TASK = 32
# Keys of notes: the `Position`, and by which thresholds
_COMPARED = "compared"
_THRESHOLDS = "thresholds"


def link_new(
    cache: PatchCache,
    comparer: Comparer,
    limit: Thresholds,
    in_hand: InHand,
    on_progress: OnProgress,
) -> None:
    """Compare what was not compared yet, side by side where it is much; what is alike is kept.

    By other thresholds than before, all of it.
    """
    _demand_thresholds(cache, limit)
    position = Position(*json.loads(cache.note(_COMPARED) or "[]"))
    new, last = cache.count_after(position.compared), cache.highest_number()
    if not new:
        return
    rate_all = {upstream: cache.has_best_ratings(upstream=upstream) for upstream in (False, True)}
    if new < _FEW:
        task = Task(0, position, last)
        steps = PairFinder(cache, comparer, limit, rate_all).steps(task, in_hand)
        _keep(cache, steps, [task], new, on_progress)
        return
    theirs = PatchCache(cache.path)
    finder = PairFinder(theirs, Comparer(theirs, limit, share=processors()), limit, rate_all)

    def work(task: Task, in_hand: InHand) -> Iterator[Step]:
        if not theirs.is_open:
            theirs.open()
        return finder.steps(task, in_hand)

    tasks = _tasks(position, last)
    # A process that was forked with a file of SQLite's open must not open it once more.
    cache.close()
    with in_hand.side_by_side(work, tasks) as steps:
        cache.open()
        _keep(cache, steps, tasks, new, on_progress)


def _tasks(position: Position, last: int) -> list[Task]:
    begins = [position, *map(Position, range(position.compared + _OF_TASK, last, _OF_TASK))]
    lasts = [*(begin.compared for begin in begins[1:]), last]
    return [Task(place, *task) for place, task in enumerate(zip(begins, lasts, strict=True))]


def _keep(
    cache: PatchCache,
    steps: Iterable[Step],
    tasks: Sequence[Task],
    new: int,
    on_progress: OnProgress,
) -> None:
    """Keep what is found, and how far comparing is, until all tasks are done, in any order."""
    left = iter(steps)
    positions = [task.begin for task in tasks]
    done = first = 0  # patches that are through; the first task that is not
    while first < len(tasks):
        until = time.monotonic() + COMMIT_SECONDS
        with cache.transaction():
            for step in left:
                _keep_found(cache, step.found)
                done += step.patches
                positions[step.place] = step.position
                while first < len(tasks) and positions[first] == Position(tasks[first].last):
                    first += 1
                if first == len(tasks) or time.monotonic() > until:
                    break
            # What is done of tasks behind it, whoever goes on from here does once more.
            cache.set_note(_COMPARED, json.dumps(positions[min(first, len(tasks) - 1)]))
        on_progress("comparing", done, new)


def _keep_found(cache: PatchCache, found: Found) -> None:
    with cache.transaction() as sql:
        sql.executemany("INSERT OR IGNORE INTO link (low, high) VALUES (?, ?)", found.links)
        sql.executemany("INSERT OR IGNORE INTO undecided VALUES (?, ?)", found.undecided)
        changed = {low for low, _ in found.links}
        for number, candidate, upstream in found.better:
            best = cache.best(number, upstream=upstream)
            if best.reached is None and candidate.alike > best.alike:
                cache.set_best(number, candidate, upstream=upstream)
                changed.add(number)
        rows = [(number,) for number in changed]
        sql.executemany("INSERT OR IGNORE INTO regroup VALUES (?)", rows)


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

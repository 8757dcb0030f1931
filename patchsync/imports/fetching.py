"""What an archive leaves in doubt is had from Patchwork, as single patches by fetch workers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from patchsync.errors import TryAgainLater
from patchsync.imports.feed import ASK_AGAIN_SECONDS, Enqueue
from patchsync.sync.projects import Project

TASK = "fetch.fetch_patches"
PER_TASK = 20
# So many tasks at a time: what is lost with Redis is asked for again.
TASKS = 5
LOOK_SECONDS = 0.2


def fetch(site: Project, ids: Iterable[int], enqueue: Enqueue, patience: float) -> Iterator[int]:
    """Have patches fetched; yields how many are still to come, often.

    What does not come within `patience` seconds after the last is left to the next sync.
    """
    left = set(ids)
    asked = set[int]()
    moved_at = asked_at = time.monotonic()
    while left and time.monotonic() < moved_at + patience:
        now = time.monotonic()
        if not asked & left or now > max(moved_at, asked_at) + ASK_AGAIN_SECONDS:
            asked = set(sorted(left)[: TASKS * PER_TASK])
            _ask(site, asked, enqueue)
            asked_at = now
        yield len(left)
        time.sleep(LOOK_SECONDS)
        with site.open() as box:
            arrived = box.message_ids(left).keys() | (box.quarantined().keys() & left)
        if arrived:
            left -= arrived
            moved_at = time.monotonic()
            yield len(left)


def _ask(site: Project, patch_ids: Iterable[int], enqueue: Enqueue) -> None:
    ids = iter(sorted(patch_ids))
    with suppress(TryAgainLater):  # It is asked for again.
        while some := list(islice(ids, PER_TASK)):
            enqueue(TASK, site.key, some)

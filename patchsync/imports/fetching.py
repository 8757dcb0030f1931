"""What an archive leaves in doubt is had from Patchwork, as single patches by fetch workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from patchsync.errors import TryAgainLater
from patchsync.imports.feed import Enqueue
from patchsync.imports.part import Part

TASK = "fetch.fetch_patches"
PER_TASK = 20
LOOK_SECONDS = 0.2


def fetch_in_doubt(part: Part, enqueue: Enqueue, patience: float) -> Iterator[int]:
    """Have the patches fetched that are in doubt; yields how many are still to come.

    What does not come within `patience` seconds after the last is left to the next sync.
    """
    left = set(part.to_fetch())
    ids = iter(sorted(left))
    with suppress(TryAgainLater):  # The next sync finds what is missing.
        while some := list(islice(ids, PER_TASK)):
            enqueue(TASK, part.site.key, some)
    moved_at = time.monotonic()
    while left and time.monotonic() < moved_at + patience:
        yield len(left)
        time.sleep(LOOK_SECONDS)
        with part.site.open() as box:
            arrived = box.message_ids(left).keys() | (box.set_aside().keys() & left)
        if arrived:
            left -= arrived
            moved_at = time.monotonic()

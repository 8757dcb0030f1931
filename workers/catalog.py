"""The catalog of all patches follows the store and the groups, behind what a fleet does first."""

from __future__ import annotations

import logging
import time

from celery.exceptions import SoftTimeLimitExceeded

from patchsync.analysis.engine import Stopped
from patchsync.errors import PatchsyncError
from workers import context

log = logging.getLogger(__name__)


def follow(most_seconds: float) -> bool:
    """Bring the catalog up to date; returns False where it was not through after `most_seconds`.

    What was done by then is kept. Where another process is at it, that one is left alone. What
    goes wrong is logged, and is no fault of the task: who reads says it, too.
    """
    # Who has no catalog to follow need not load it.
    from patchsync.revisions.catch_up import catch_up

    until = time.monotonic() + most_seconds

    def on_progress(what: str, done: int, of: int) -> None:
        if time.monotonic() > until:
            raise Stopped

    try:
        catch_up(context.config(), on_progress, wait=0)
    except (Stopped, SoftTimeLimitExceeded):  # All groups are taken in at once, however many.
        return False
    except PatchsyncError as error:
        log.warning("catalog: %s", error)
    return True

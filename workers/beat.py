"""Celery beat's schedule, in memory: nothing to keep, nothing for two beats to quarrel over."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from patchsync.fleet.redis_client import plain_words
from workers.context import config
from workers.heartbeat import ProcessHeartbeat

log = logging.getLogger(__name__)

LONG_AGO = datetime.fromtimestamp(0, UTC)
# A clock that is put right by less goes on as it is.
SET_BACK_SECONDS = 1.0


class HeartbeatScheduler(Scheduler):
    """The schedule of the configuration, all of it due at the start; notes its heartbeat."""

    _clock_ahead: float

    def setup_schedule(self) -> None:
        """Take the configured entries; what each does is safe to do once too often."""
        super().setup_schedule()
        self._all_are_due()
        self._heartbeat = ProcessHeartbeat(["beat"])

    def schedules_equal(self, *_: object) -> bool:
        """It stays as it is: to compare all of it at each tick would cost more than the tick."""
        return True

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Enqueue what is due; returns the seconds until the next tick."""
        self._heartbeat.note_if_due()
        if _clock_ahead() < self._clock_ahead - SET_BACK_SECONDS:
            # Else what is due would wait until the clock is there again.
            log.warning("the clock was set back; all that is scheduled is enqueued now")
            self._all_are_due()
        self._clock_ahead = _clock_ahead()
        return float(super().tick(*args, **kwargs))

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Enqueue an entry, or log in one line why not; it is due again after its interval."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            cause = error.__context__
            met = cause if isinstance(cause, Exception) else error
            log.error("%s: not enqueued: %s", entry.name, plain_words(met, config()))

    def close(self) -> None:
        """Beat ends: as it was told to, or by an error, after which it is missed."""
        if sys.exception() is None:
            self._heartbeat.end()
        super().close()

    def _all_are_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = LONG_AGO
        self._heap = None
        self._clock_ahead = _clock_ahead()


def _clock_ahead() -> float:
    """Seconds from the clock that only goes on to the one that may be set."""
    return time.time() - time.monotonic()

"""Beat: its schedule where the clock is set back, and its log where Redis takes nothing."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError
from redis.exceptions import OutOfMemoryError

from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.redis_client import RedisReader
from tests.support.inprocess import Workers
from tests.support.installation import Installation


@pytest.mark.parametrize("days", [1, 365])
def test_a_clock_that_is_set_back_stops_no_schedule(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """All is due at once, and then at its intervals; not when that day comes round again."""
    from workers.beat import HeartbeatScheduler
    from workers.celery import app

    by_clock = timedelta()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + by_clock.total_seconds())
    monkeypatch.setattr(type(app), "now", lambda _: datetime.now(UTC) + by_clock)
    sent: list[str] = []
    monkeypatch.setattr(
        HeartbeatScheduler, "apply_entry", lambda _, entry, **__: sent.append(entry.name)
    )
    scheduler = HeartbeatScheduler(app, max_interval=5)

    def run() -> set[str]:
        """What is sent until beat would sleep."""
        sent.clear()
        while scheduler.tick() <= 0:
            pass
        return set(sent)

    scheduled = set(scheduler.schedule)
    assert "probe sample" in scheduled
    assert run() == scheduled
    assert run() == set()
    by_clock = timedelta(days=-days)
    assert run() == scheduled
    assert run() == set()
    by_clock += timedelta(days=days)
    assert run() == scheduled, "set right"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OperationalError("Error 111 connecting to here:1. Connection refused."), "refused"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "is full"),
    ],
)
def test_one_line_where_redis_takes_nothing(
    installation: Installation, workers: Workers, error: Exception, told: str
) -> None:
    """With the entry and what to do; no traceback, and beat goes on."""
    from workers.beat import HeartbeatScheduler
    from workers.celery import app

    entry = ScheduleEntry(
        name="probe sample", task="workers.fetch.probe", args=("sample",), app=app
    )
    with mock.patch.object(app, "send_task", side_effect=error):
        HeartbeatScheduler(app=app, lazy=True).apply_entry(entry)
    (line,) = workers.log.getvalue().splitlines()
    assert "ERROR   probe sample: not enqueued: " in line
    assert told in line


@pytest.mark.parametrize("ends_by_error", [False, True])
def test_one_that_ends_by_an_error_is_missed(
    installation: Installation, workers: Workers, ends_by_error: bool
) -> None:
    """One that was told to end is not."""
    from workers.beat import HeartbeatScheduler
    from workers.celery import app

    scheduler = HeartbeatScheduler(app=app, lazy=True)
    scheduler.setup_schedule()
    scheduler._heartbeat.note_if_due()
    with suppress(ZeroDivisionError):
        try:
            assert not 1 / (0 if ends_by_error else 2) > 1
        finally:
            scheduler.close()
    with RedisReader(installation.config.redis_url) as reader:
        expected = Heartbeats(reader, installation.config.namespace).are_expected()
    assert expected == ends_by_error

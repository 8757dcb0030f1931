"""Beat: what it logs where Redis does not take what is due."""

from __future__ import annotations

from unittest import mock

import pytest
from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError
from redis.exceptions import OutOfMemoryError

from tests.support.inprocess import Workers
from tests.support.installation import Installation


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

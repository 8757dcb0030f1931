"""A Patchwork that does not answer is left alone, and it is said why."""

from __future__ import annotations

import pytest
import redis

from patchsync.errors import ServerUnavailable
from patchsync.patchwork.rate_limit import RedisRateLimiter
from patchsync.patchwork.rate_limit_state import key_prefix, read_hold
from tests.support.inprocess import Workers, process_of_its_own
from tests.support.installation import Installation


@pytest.fixture
def elsewhere(installation: Installation, shared_redis: redis.Redis) -> RedisRateLimiter:
    """The fleet's limit as another process has it, one that does not wait."""
    prefix = key_prefix(installation.config)
    return RedisRateLimiter(shared_redis, prefix, rate=None, patience=0.0)


def test_a_dead_server_is_left_alone_and_named(
    installation: Installation,
    workers: Workers,
    elsewhere: RedisRateLimiter,
    shared_redis: redis.Redis,
) -> None:
    """The breaker is open for the whole fleet, and says what it saw; no other word hides that."""
    control, prefix = installation.patchwork.control, key_prefix(installation.config)
    control.fault("status", times=-1, status=503)
    with (
        process_of_its_own(installation.config, workers),
        workers.running("probe"),
    ):
        from workers import enqueue

        assert read_hold(shared_redis.execute_command, prefix) is None
        for _ in range(2):
            enqueue.probe("sample")
    assert "status 503" in installation.status("sample")["trouble"]["message"]
    hold = read_hold(shared_redis.execute_command, prefix)
    assert hold is not None
    assert "the breaker is open" in hold.why
    assert "status 503" in hold.why
    with pytest.raises(ServerUnavailable, match="the breaker is open"):
        elsewhere.wait("neighbour")

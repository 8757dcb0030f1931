"""Chance and Redis in unit tests; hypothesis' examples follow from PATCHSYNC_SEED, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, core, settings

from tests.conftest import SEED

# The same examples in each run with the same seed; none of another run's, which a file would keep.
if core.global_force_seed is None:  # Else it was asked for by --hypothesis-seed.
    core.global_force_seed = SEED
settings.register_profile(
    "ours",
    database=None,
    # No test fails because a machine is busy.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")


@pytest.fixture
def redis_client(shared_redis: redis.Redis) -> redis.Redis:
    """A client of an empty Redis."""
    shared_redis.flushall()
    return shared_redis


@pytest.fixture
def redis_socket(redis_client: redis.Redis) -> Path:
    """Where that Redis listens."""
    return Path(redis_client.connection_pool.connection_kwargs["path"])

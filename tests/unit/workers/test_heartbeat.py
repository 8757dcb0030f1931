"""When a worker counts as alive: its loop turns, and it takes what waits for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import redis
from celery.worker import state

from patchsync.config import Config
from patchsync.fleet.backpressure import queue_keys
from patchsync.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeats
from tests.support.inprocess import Workers
from workers import heartbeat as module


class Worker:
    """A worker's main process, whose loop turns every few seconds."""

    def __init__(self, config: Config, client: redis.Redis, patch: pytest.MonkeyPatch) -> None:
        self.now, self._client = 1000.0, client
        self._heartbeats = Heartbeats(client, config.namespace)
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        self._process = module.ProcessHeartbeat(["fetch"])

    def is_alive_after(self, seconds: float) -> bool:
        """Whether it still notes its heartbeat when its loop has turned for so long."""
        until = self.now + seconds
        while self.now < until:
            self._client.delete(self._heartbeats._key)
            self.now += HEARTBEAT_SECONDS
            self._process.note_if_due()
        return [member.service for member in self._heartbeats.alive()] == ["fetch"]


@pytest.fixture
def worker(config: Config, shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker that has begun nothing yet."""
    monkeypatch.setattr(state, "active_requests", set())
    monkeypatch.setattr(state, "all_total_count", [0])
    return Worker(config, shared_redis, monkeypatch)


def wait_for_it(config: Config, client: redis.Redis) -> None:
    """One message, of those that let others go first."""
    client.lpush(queue_keys(config.namespace, "fetch")[1], "message")


def test_one_with_nothing_to_do(worker: Worker) -> None:
    """However long."""
    assert worker.is_alive_after(1000)


def test_one_that_takes_nothing(
    worker: Worker, config: Config, shared_redis: redis.Redis, workers: Workers
) -> None:
    """It is dead after a minute, and its log says so; alive again when it takes something."""
    wait_for_it(config, shared_redis)
    assert worker.is_alive_after(50)
    assert not worker.is_alive_after(30)
    assert "though 1 messages wait: restart it" in workers.log.getvalue()
    state.all_total_count[0] += 1
    assert worker.is_alive_after(50)
    assert not worker.is_alive_after(30)


def test_one_at_work(worker: Worker, config: Config, shared_redis: redis.Redis) -> None:
    """Others wait their turn; the task has its own limit of time."""
    wait_for_it(config, shared_redis)
    state.active_requests.add("request")
    assert worker.is_alive_after(500)


def test_one_that_takes_what_comes(
    worker: Worker, config: Config, shared_redis: redis.Redis
) -> None:
    """Though there is always something that waits."""
    wait_for_it(config, shared_redis)
    for _ in range(20):
        state.all_total_count[0] += 1
        assert worker.is_alive_after(50)

"""What a command starts that nobody runs, and in which order."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
import redis

from patchsync.config import Config, load
from patchsync.fleet import missing_services as module
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.missing_services import MissingServices
from patchsync.fleet.supervisor import Supervisor

NEEDED = ("probe", "fetch", "index")


class Started:
    """As a `Supervisor`, but what it starts are names only."""

    def __init__(self, *, redis_answers: bool = True) -> None:
        self.alive: list[str] = []
        self._redis_answers = redis_answers

    def ensure_redis(self, meanwhile: Iterable[str] = ()) -> bool:
        started, self._redis_answers = not self._redis_answers, True
        if started:
            self.ensure(meanwhile)
        return started

    def ensure(self, services: Iterable[str]) -> list[str]:
        new = [service for service in services if service not in self.alive]
        self.alive += new
        return new


@pytest.fixture
def config(tmp_path: Path, redis_client: redis.Redis, redis_socket: Path) -> Config:
    """One whose Redis is empty."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "http://127.0.0.1:1"\nproject_ids = [1]\n'
        f'[redis]\nurl = "unix://{redis_socket}"\n'
    )
    return load(file)


def missing(config: Config, started: Started) -> MissingServices:
    return MissingServices(config, cast("Supervisor", started), NEEDED)


def have_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)


@pytest.mark.parametrize("redis_answers", [True, False])
@pytest.mark.parametrize(("cores", "first"), [(1, 1), (2, 1), (3, 2), (16, 3)])
def test_no_more_load_at_once_than_there_are_cores(
    config: Config, monkeypatch: pytest.MonkeyPatch, cores: int, first: int, redis_answers: bool
) -> None:
    """The first one is there sooner so; the others start at the first look."""
    have_cores(monkeypatch, cores)
    started = Started(redis_answers=redis_answers)
    services = missing(config, started)
    assert started.alive == list(NEEDED[:first])
    services.ensure()
    assert started.alive == list(NEEDED)


def test_what_somebody_runs_is_not_started(config: Config, redis_client: redis.Redis) -> None:
    """By its heartbeat, on whatever machine."""
    Heartbeats(redis_client, config.namespace).note(Member(service="probe", host="another"))
    started = Started()
    missing(config, started).ensure()
    assert started.alive == ["fetch", "index"]


def test_what_was_started_and_ends_is_started_again(
    config: Config, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next look, also if it had signed in before the others were started."""
    have_cores(monkeypatch, 2)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    started = Started()
    services = missing(config, started)
    Heartbeats(redis_client, config.namespace).note(Member(service="probe"))
    services.ensure()
    started.alive.clear()
    services.ensure()
    assert started.alive == list(NEEDED)

"""`patchsync resume`: what stops the fleet, or a project, is lifted, and told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from patchsync.cli import main
from patchsync.config import Config, load
from patchsync.errors import ServerUnavailable
from patchsync.patchwork.rate_limit import RedisRateLimiter, fleet_rate_limiter
from patchsync.patchwork.rate_limit_state import key_prefix
from patchsync.store.halt import halt, halted
from patchsync.sync.projects import Project, place_project, settle

Run = Callable[..., Result]

TOML = """
[mbox.patchwork]
url = "https://patchwork.example.org/"
projects = [{{ id = 1, list_email = "list@example.org" }}]
[store]
mbox = "mbox"
[redis]
url = "unix://{socket}"
"""


@pytest.fixture
def config(tmp_path: Path, redis_socket: Path) -> Config:
    """A configuration with that Redis; its Patchwork is nowhere, so that asking it would fail."""
    file = tmp_path / "patchsync.toml"
    file.write_text(TOML.format(socket=redis_socket))
    return load(file)


@pytest.fixture
def run(config: Config) -> Run:
    """The command."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["-c", str(config.source), *arguments])

    return run


@pytest.fixture
def limiter(config: Config, redis_client: redis.Redis) -> RedisRateLimiter:
    """The limit as a worker has it."""
    return fleet_rate_limiter(config, redis_client, lambda _: {})


def asks(limiter: RedisRateLimiter) -> bool:
    try:
        limiter.wait("1")
    except ServerUnavailable:
        return False
    return True


@pytest.fixture
def project(config: Config) -> Project:
    """A project that is in the store."""
    project = place_project(config, config.projects[0], 1, "linux", "list@example.org")
    settle(config, project)
    return project


def test_the_breakers_hold_is_lifted(run: Run, limiter: RedisRateLimiter) -> None:
    """Also in the process that opened it; what was lifted, and its end, is told."""
    limiter.hold(300, "the breaker is open, 2 calls in a row failed", by_server=False)
    assert not asks(limiter)
    assert "resume" in run("status").output
    hold = json.loads(run("status", "--json").output)["fleet"]["hold"]
    assert hold["until"] == pytest.approx(time.time() + 300, abs=60)
    assert (hold["by_server"], hold["why"][:19]) == (False, "the breaker is open")
    done = run("resume")
    assert done.exit_code == 0, done.output
    assert "lifted; nobody was to ask until 20" in done.output
    assert "the breaker is open, 2 calls in a row failed" in done.output
    assert asks(limiter)
    assert "NOT ASKING" not in run("status").output


def test_what_the_server_asked_for_wants_a_yes(run: Run, limiter: RedisRateLimiter) -> None:
    """It says what the server asked for, and lifts nothing without it."""
    limiter.hold(300, "https://patchwork asks to be left alone (Retry-After: 300 s)")
    refused = run("resume")
    assert refused.exit_code == 1
    assert "not lifted: the server asked for it, until 20" in refused.output
    assert "(Retry-After: 300 s)" in refused.output
    assert not asks(limiter)
    assert run("resume", "--yes").exit_code == 0
    assert asks(limiter)


def test_where_nothing_is_held(run: Run) -> None:
    """It says so."""
    done = run("resume")
    assert (done.exit_code, done.output) == (0, "no hold: whoever has something to ask may ask\n")


def test_a_spent_budget_is_no_hold(
    run: Run, config: Config, limiter: RedisRateLimiter, redis_client: redis.Redis
) -> None:
    """It says which key would help, or when it ends."""
    limiter.requests_today()
    redis_client.hset(f"{key_prefix(config)}:requests", "total", 50_000)
    done = run("resume")
    assert "sync's share of the day's budget is spent, in all 50000 of 50000" in done.output
    assert "[patchwork] requests_per_day" in done.output


def test_a_halt_is_ended_by_name_only(run: Run, project: Project) -> None:
    """Somebody has looked at this project; its reason is told once more."""
    assert "linux: is not halted" in run("resume", "-p", "linux").output
    halt(project.paths, "the server was restored")
    hint = run("resume").output
    assert "is halted, see `resume -p 1`: the server was restored" in hint
    assert halted(project.paths)
    assert "when mended: `patchsync resume -p 1`" in run("status").output
    done = run("resume", "-p", "linux")
    assert done.exit_code == 0, done.output
    assert "linux: is synced again; it was halted: the server was restored" in done.output
    assert halted(project.paths) is None


def test_projects_that_are_not_there(run: Run) -> None:
    """One that is not configured, and one that has had no round."""
    assert "project 'qemu' is not in" in run("resume", "-p", "qemu").output
    assert "is not in the store yet" in run("resume", "-p", "1").output


def test_without_a_redis(run: Run, config: Config) -> None:
    """No fleet runs, so nobody is held."""
    text = config.source.read_text()
    config.source.write_text(text.replace("unix://", "unix:///nowhere"))
    done = run("resume")
    assert done.exit_code == 1
    assert "no fleet runs, or the Redis of [redis] url does not answer" in done.output

"""`patchsync status` of a fleet: what ends with exit status 1, and how full Redis is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from patchsync import doctor
from patchsync.cli import main
from patchsync.config import Config, load, make_run_dir
from patchsync.errors import GiveUp
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.redis_client import Memory, RedisReader
from patchsync.fleet.services import QUEUES
from patchsync.fleet.trouble import Trouble
from patchsync.status import FleetStatus, ProjectStatus, faults, fleet_status

NOW = 1_000_000.0
IN_STEP = ProjectStatus(project="1", link_name="one", in_sync=True, last_round=NOW - 60)
OLD = replace(IN_STEP, last_round=NOW - 1500)
BEAT = Member(service="beat")


def configured(folder: Path, redis_url: str = "") -> Config:
    """A configuration; without a url its Redis is an embedded one."""
    file = folder / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "http://127.0.0.1:1"\nproject_ids = [1]\n'
        f'[redis]\nurl = "{redis_url}"\n[push]\nsinks = ["check"]\n'
    )
    return load(file)


@pytest.fixture
def config(tmp_path: Path, redis_socket: Path) -> Config:
    """A configuration whose Redis answers."""
    return configured(tmp_path, f"unix://{redis_socket}")


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """An empty Redis, which a test may fill, or make a replica."""
    yield redis_client
    redis_client.config_set("maxmemory", 0)
    redis_client.execute_command("REPLICAOF", "NO", "ONE")
    redis_client.acl_deluser("reader")


def wrong(config: Config, *projects: ProjectStatus) -> list[str]:
    """What is wrong with the fleet whose heartbeats are in Redis, and with these projects."""
    with RedisReader(config.redis_url) as reader:
        return faults(config, fleet_status(config, reader), projects, NOW)


def test_who_runs_single_commands_needs_no_fleet(
    config: Config, client: redis.Redis, tmp_path: Path
) -> None:
    """However old the last round is: cron says when the next one is."""
    assert wrong(config, IN_STEP, OLD) == []
    assert wrong(configured(tmp_path), OLD) == []


def test_a_killed_service_is_missed(config: Config, client: redis.Redis) -> None:
    """Also when nobody is left, or Redis has forgotten who was alive; flower is not needed."""
    heartbeats = Heartbeats(client, config.namespace)
    for service in (*QUEUES, "beat"):
        heartbeats.note(Member(service=service))
    assert wrong(config, IN_STEP) == []
    client.delete(f"patchsync:{config.namespace}:roster")
    heartbeats.note(Member(service="fetch"))
    assert wrong(config, IN_STEP) == ["nobody is alive of: probe, index, analyse, push, beat"]
    client.delete(f"patchsync:{config.namespace}:roster")
    assert wrong(config) == ["nobody is alive of: probe, fetch, index, analyse, push, beat"]


def test_a_fleet_that_was_told_to_end_is_not(config: Config, client: redis.Redis) -> None:
    """It is not missed when beat ended as it should."""
    heartbeats = Heartbeats(client, config.namespace)
    heartbeats.note(BEAT)
    heartbeats.end(BEAT)
    assert wrong(config, OLD) == []


@pytest.mark.parametrize("service", ["beat", "probe"])
def test_an_old_round(config: Config, client: redis.Redis, service: str) -> None:
    """It is wrong where anything of a fleet runs; with long intervals it may be older."""
    Heartbeats(client, config.namespace).note(Member(service=service))
    lines = wrong(config, IN_STEP, OLD)
    assert lines[-1] == "the last round of one was 25 minutes ago"
    assert not any("minutes ago" in line for line in wrong(config, IN_STEP))
    schedule = config.schedule.model_copy(update={"probe_seconds": 600})
    seldom = config.model_copy(update={"schedule": schedule})
    assert not any("minutes ago" in line for line in wrong(seldom, OLD))


@pytest.mark.parametrize("seconds", [86400, 365 * 86400])
def test_a_round_that_lies_ahead(config: Config, seconds: int) -> None:
    """A clock was set back: it says nothing of when there was one, until there is another."""
    ahead = replace(IN_STEP, last_round=NOW + seconds)
    assert wrong(config, ahead)[-1] == "the clock was set back, and one had no round since"


def test_an_embedded_redis_that_was_killed(tmp_path: Path) -> None:
    """Its socket is left; one that ended as it should leaves none."""
    config = configured(tmp_path)
    left = make_run_dir(config) / "redis.sock"
    left.touch()
    try:
        told = "the fleet that ran here was killed, its Redis too; `patchsync up` starts it again"
        assert wrong(config, IN_STEP) == [told]
    finally:
        left.unlink()
        config.run_dir.rmdir()


def test_a_configured_redis_that_does_not_answer(tmp_path: Path) -> None:
    """Nobody can tell who is alive."""
    (line,) = wrong(configured(tmp_path, "redis://127.0.0.1:1"), IN_STEP)
    assert line.startswith(
        "no Redis answers at 127.0.0.1:1 (nothing listens there: connection refused)"
    )


def test_projects() -> None:
    """Each that needs a person, or a round, by its name."""
    halted, behind = replace(IN_STEP, halted="why"), replace(IN_STEP, in_sync=False)
    never = ProjectStatus(project="2")
    lines = faults(load_nothing(), FleetStatus(), (IN_STEP, halted, behind, never), NOW)
    assert lines == ["one is halted", "one is not in step", "2 never had a whole round"]


@pytest.mark.parametrize(
    ("task", "at", "lasting", "is_wrong"),
    [
        ("probe", NOW - 30, True, True),
        ("probe", NOW - 30, False, False),
        ("probe", NOW - 90, True, False),
        ("plan", NOW - 90, True, True),
        ("plan", NOW - 1000, True, False),
    ],
)
def test_a_trouble_that_waits_for_somebody(
    task: str, at: float, lasting: bool, is_wrong: bool
) -> None:
    """It is wrong until a round, or a push, goes through again; what passes by itself is not."""
    trouble = Trouble(at=at, task=task, message="why", lasting=lasting)
    lines = faults(load_nothing(), FleetStatus(), [replace(IN_STEP, trouble=trouble)], NOW)
    assert lines == ([f"one: {task}: why"] if is_wrong else [])


def load_nothing() -> Config:
    """A configuration that is not asked for its Redis."""
    tables = {"mbox": {"patchwork": {"url": "http://x", "project_ids": [1]}}}
    return Config.read_from(Path("x"), tables)


def test_how_full_redis_is(config: Config, client: redis.Redis) -> None:
    """With its limit, for people and machines; a full one is wrong."""
    status = [*("-c", str(config.source)), "status"]
    fleet = json.loads(CliRunner().invoke(main, [*status, "--json"]).output)["fleet"]
    assert fleet["memory"]["used"] > 2**19
    assert fleet["memory"]["limit"] is None
    client.config_set("maxmemory", 2**40)
    assert "MiB of 1048576.0 MiB (maxmemory) used\n" in CliRunner().invoke(main, status).output
    client.config_set("maxmemory", 2**18)
    full = CliRunner().invoke(main, [*status, "--json"])
    assert full.exit_code == 1
    assert json.loads(full.output)["wrong"][0].startswith("Redis is full: ")
    health = CliRunner().invoke(main, ["-c", str(config.source), "health", "index"])
    assert health.output.startswith("index: nobody can sign in: Redis is full: ")
    assert Memory(3, None).share == 0


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        ("CONFIG SET maxmemory 1", "is full (maxmemory) and refuses writes: see that `index` runs"),
        ("REPLICAOF 127.0.0.1 1", "is a replica and refuses writes; [redis] url wants its primary"),
        (
            "ACL SETUSER reader on >p ~* +ping",
            "no permissions to run the 'set' command",
        ),
    ],
)
def test_check_tries_a_write(
    config: Config,
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setup: str,
    told: str,
) -> None:
    """And says what to do where it is refused; it leaves nothing behind."""

    def no_patchwork(*_: object) -> str:
        raise GiveUp("not asked")

    monkeypatch.setattr(doctor, "_api", no_patchwork)
    works = {finding.subject: finding for finding in doctor.findings(config)}["[redis] url"]
    assert works.works
    assert client.keys(f"patchsync:{config.namespace}:*") == []
    client.execute_command(*setup.split())
    if "reader" in setup:
        url = config.redis.url.get_secret_value()
        config = configured(tmp_path, f"{url}?username=reader&password=p")
    refused = {finding.subject: finding for finding in doctor.findings(config)}["[redis] url"]
    assert not refused.works
    assert told in refused.text

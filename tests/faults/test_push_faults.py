"""Lost answers, a server that fails, kill -9: each check is there once, and relations are right."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from patchsync.fleet import Fleet
from patchsync.standin.process import TOKEN, running_standin
from tests.integration.conftest import processes_of, wait_until
from tests.integration.pushing import SINKS, STANDIN, Pushing, placed_store, synced_store

# The service plans each second, and what nobody took is forgotten soon.
HASTY = f"""{SINKS}
[fleet]
lease_seconds = 3
[schedule]
push_seconds = 1
"""
LOST = {
    "a gateway gave up": {"kind": "status", "status": 502, "after": True},
    "the connection was cut": {"kind": "cut"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synced_store(tmp_path_factory.mktemp("synced"))


@pytest.fixture
def pushing(store: Path, tmp_path: Path) -> Iterator[Pushing]:
    with running_standin(*STANDIN) as standin:
        yield Pushing(installation=placed_store(store, tmp_path, standin, HASTY))


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
def test_a_check_whose_answer_was_lost_is_there_once(
    pushing: Pushing, fault: dict[str, Any]
) -> None:
    """It is not posted again before the time-out has passed, and then it is looked up."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.standin.control.fault(match="checks", **fault)
    assert pushing.run("--yes").returncode == 1
    assert pushing.relations() == {frozenset({a, b, c})}, "the rest was not done"
    assert pushing.rows() == {a: 1, b: 1, c: 1}
    assert pushing.writes() == {}
    pushing.let_claims_expire()
    assert pushing.writes() == {}
    pushing.assert_settled()
    pushing.group([a, b, c], upstream={a: "1234567890ab"})
    assert pushing.writes() == {"POST": 3}
    pushing.assert_checks_once()


def test_a_check_that_never_arrived_is_posted_once(pushing: Pushing) -> None:
    """Not before the time-out has passed."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.standin.control.fault("status", match="checks", status=502)
    assert pushing.run("--yes").returncode == 1
    assert sum(pushing.rows().values()) == 2, "one holds up those behind it"
    assert pushing.writes() == {}
    pushing.let_claims_expire()
    assert pushing.writes() == {"POST": 1}
    assert pushing.rows() == {a: 1, b: 1, c: 1}
    pushing.assert_settled()


def test_a_check_that_was_turned_away(pushing: Pushing) -> None:
    """429: nothing was written, so it may be sent at once in the next round."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.standin.control.fault("status", match="checks", status=429, retry_after="1")
    done = pushing.run("--yes")
    assert done.returncode == 1
    assert "the next round goes on" in done.stderr
    assert pushing.writes()["POST"] == 2
    pushing.assert_settled()


@pytest.mark.parametrize("arrived", [True, False])
def test_a_relation_whose_answer_was_lost(pushing: Pushing, arrived: bool) -> None:
    """The next round reads what came of it; it is ours either way."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b])
    control = pushing.standin.control
    control.fault("status", method="PATCH", status=502, after=arrived)
    assert pushing.run("--yes").returncode == 1
    assert pushing.relations() == ({frozenset({a, b})} if arrived else set())
    assert pushing.writes() == ({} if arrived else {"PATCH": 1})
    assert pushing.relations() == {frozenset({a, b})}
    pushing.assert_settled()
    pushing.group([a], [b, c])
    pushing.push()
    assert pushing.relations() == {frozenset({b, c})}


def test_one_relation_that_always_fails_does_not_stop_the_others(pushing: Pushing) -> None:
    """In each round those after it are done."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b], [c, d])
    pushing.standin.control.fault("status", method="PATCH", status=500)
    assert pushing.run("--yes").returncode == 1
    assert pushing.relations() == {frozenset({c, d})}


# kill -9


class Groups:
    """Groups at random, and what Patchwork should then show."""

    def __init__(self, pushing: Pushing, random: Random) -> None:
        self._pushing = pushing
        self._random = random
        self.relations: set[frozenset[int]] = set()

    def shuffle(self) -> None:
        """Other groups, of one to four patches of both projects."""
        ids = [*self._pushing.ids()[:14], *self._pushing.ids("neighbour")[:6]]
        self._random.shuffle(ids)
        groups = []
        while ids:
            size = self._random.randint(1, 4)
            groups.append(ids[:size])
            ids = ids[size:]
        self._pushing.group(*groups)
        self.relations = {frozenset(group) for group in groups if len(group) > 1}


def rest(pushing: Pushing) -> None:
    """Wait until the server has answered all that it was sent; then no lost answer can come."""

    def idle() -> bool:
        stats = pushing.standin.control.stats()
        return sum(stats["statuses"].values()) == stats["requests"]

    wait_until(idle, "the server is idle")
    if pushing.ledger.exists():
        pushing.let_claims_expire()


def test_kill_9_of_the_command_at_random(pushing: Pushing) -> None:
    """Round after round with other groups; then what is there is what the last groups want."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    random = Random(seed)
    groups = Groups(pushing, random)
    control = pushing.standin.control
    groups.shuffle()
    pushing.push("--limit", "1")
    control.latency(0.03)
    for _ in range(8):
        groups.shuffle()
        control.reset_stats()
        process = subprocess.Popen(
            pushing.installation.command("push", "--yes"),
            env=os.environ | {"PATCHWORK_TOKEN": TOKEN},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # It starts for a second or two, then it writes.
        wanted = random.randint(1, 40)

        def far(process: subprocess.Popen[bytes] = process, wanted: int = wanted) -> bool:
            return process.poll() is not None or control.stats()["requests"] >= wanted

        wait_until(far, "it is at work", 60)
        process.kill()
        process.wait()
        rest(pushing)
    control.latency(0)
    pushing.push()
    assert pushing.relations() == groups.relations
    pushing.assert_checks_once()
    pushing.assert_settled()


def push_workers(pushing: Pushing) -> list[int]:
    found = processes_of(pushing.installation)
    return [pid for pid, line in found.items() if " worker -Q push " in line]


def test_kill_9_of_the_worker_at_random(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fleet starts it again, and ends with what the last groups want."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    random = Random(seed)
    groups = Groups(pushing, random)
    groups.shuffle()
    pushing.push("--limit", "1")
    control = pushing.standin.control
    control.latency(0.03)
    services = ("push", "beat")
    with Fleet(pushing.installation.config) as fleet:
        fleet.ensure_redis()
        for _ in range(5):
            groups.shuffle()
            control.reset_stats()
            fleet.ensure(services)
            wanted = random.randint(5, 40)
            deadline = time.monotonic() + 60
            while control.stats()["requests"] < wanted:
                assert time.monotonic() < deadline, pushing.installation.logs()
                # One that ends again and again soon is left for a while.
                fleet.ensure(services)
                time.sleep(0.02)
            for pid in push_workers(pushing):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not push_workers(pushing), "it is dead")
            rest(pushing)
        control.latency(0)
        deadline = time.monotonic() + 90
        while pushing.relations() != groups.relations or unsettled(pushing):
            assert time.monotonic() < deadline, pushing.installation.logs()
            fleet.ensure(services)
            time.sleep(0.2)
        fleet.kill()
    assert pushing.relations() == groups.relations
    pushing.assert_checks_once()
    pushing.assert_settled()


def unsettled(pushing: Pushing) -> int:
    """How many entries do not show what is wanted."""
    ((count,),) = pushing.ask_ledger("SELECT count(*) FROM entry WHERE wanted IS NOT shown")
    assert isinstance(count, int)
    return count

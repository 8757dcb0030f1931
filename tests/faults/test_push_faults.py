"""Lost answers, a server that fails, kill -9: each check is there once, and relations are right."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from patchsync.fleet.supervisor import Supervisor
from standin.process import TOKEN, StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import processes_of, wait_until
from tests.support.pushing import SINKS, Pushing, placed_store

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


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, workers: Workers
) -> Pushing:
    return Pushing(installation=placed_store(synced, tmp_path, shared_standin, HASTY, workers))


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
    """Nothing is sent before the time-out has passed, then what came of it is read; it is ours."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b])
    control = pushing.standin.control
    control.fault("status", method="PATCH", status=502, after=arrived)
    assert pushing.run("--yes").returncode == 1
    assert pushing.relations() == ({frozenset({a, b})} if arrived else set())
    assert pushing.writes() == {}
    pushing.let_claims_expire()
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


# kill -9 of processes; `test_push_relation_executor` ends a round at each of its places, one by one


def at_random(few: int, many: int, rounds: int) -> pytest.MarkDecorator:
    """So many kills before all must come right: few once, or with the long tests many, often."""
    long = [pytest.mark.long, pytest.mark.timeout(1800)]
    return pytest.mark.parametrize(
        ("kills", "rounds"),
        [pytest.param(few, 1, id="short"), pytest.param(many, rounds, id="long", marks=long)],
    )


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


@at_random(3, 8, rounds=8)
def test_kill_9_of_the_command_at_random(
    pushing: Pushing, random: Random, kills: int, rounds: int
) -> None:
    """Again and again with other groups; then what is there is what the last groups want."""
    groups = Groups(pushing, random)
    control = pushing.standin.control
    groups.shuffle()
    pushing.push("--limit", "1")
    for _ in range(rounds):
        control.latency(0.03)
        for _ in range(kills):
            groups.shuffle()
            control.reset_stats()
            process = subprocess.Popen(
                pushing.installation.command("push", "--yes"),
                env=os.environ | pushing.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            # It starts for a second or two, then it writes.
            wanted = random.randint(1, 40)

            def far(process: subprocess.Popen[bytes] = process, wanted: int = wanted) -> bool:
                return process.poll() is not None or control.stats()["requests"] >= wanted

            wait_until(far, "it is at work")
            process.kill()
            process.wait()
            rest(pushing)
        control.latency(0)
        pushing.push()
        assert pushing.relations() == groups.relations
        pushing.assert_checks_once()
        pushing.assert_settled()


@at_random(2, 5, rounds=6)
def test_kill_9_of_the_worker_at_random(
    pushing: Pushing, random: Random, monkeypatch: pytest.MonkeyPatch, kills: int, rounds: int
) -> None:
    """The fleet starts it again, and ends with what the last groups want."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    groups = Groups(pushing, random)
    groups.shuffle()
    pushing.push("--limit", "1")
    for _ in range(rounds):
        kill_workers(pushing, groups, [random.randint(5, 40) for _ in range(kills)])
        rest(pushing)
        assert pushing.relations() == groups.relations
        pushing.assert_checks_once()
        pushing.assert_settled()


def kill_workers(pushing: Pushing, groups: Groups, after: list[int]) -> None:
    """Kill the worker `push` after so many requests, each time; then leave the fleet to itself."""
    control = pushing.standin.control
    control.latency(0.03)
    # What its processes wrote; those of the test write elsewhere.
    logs = replace(pushing.installation, workers=None).logs
    with Supervisor(pushing.installation.config) as fleet:

        def runs_until(done: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 90
            while not done():
                assert time.monotonic() < deadline, logs()
                # One that ends again and again soon is left for a while.
                fleet.ensure(("push", "beat"))
                time.sleep(0.05)

        for wanted in after:
            groups.shuffle()
            control.reset_stats()
            runs_until(lambda wanted=wanted: control.stats()["requests"] >= wanted)
            for pid in push_workers(pushing):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not push_workers(pushing), "it is dead")
            rest(pushing)
        control.latency(0)
        runs_until(lambda: pushing.relations() == groups.relations and not unsettled(pushing))
        fleet.kill()


def push_workers(pushing: Pushing) -> list[int]:
    """The ids of its processes."""
    found = processes_of(pushing.installation)
    return [pid for pid, line in found.items() if " worker -Q push " in line]


def unsettled(pushing: Pushing) -> int:
    """How many entries do not show what is wanted."""
    ((count,),) = pushing.ask_ledger("SELECT count(*) FROM entry WHERE wanted IS NOT shown")
    assert isinstance(count, int)
    return count

"""`index_mails`: what follows from what is stored, and who has to wait."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery.exceptions import Retry
from worker_fakes import LEASE_SECONDS, deliver, noted_trouble

from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld, StaleWriter, StoreUnavailable
from patchsync.fleet.backpressure import FIRST, LATER
from patchsync.fleet.leases import Leases
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.redis_lock import lock_name, redis_lock
from patchsync.sync.projects import find_project
from tests.support.inprocess import Sent, Workers
from tests.support.installation import Installation
from workers import context, enqueue, index


@pytest.fixture
def delivered(
    installation: Installation, leases: Leases, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> list[Sent]:
    """The enqueue of a page that was downloaded; the last one gives its lease back."""
    monkeypatch.setattr("patchsync.sync.fetch.MOST_MAILS", 3)
    deliver("fetch.probe", "sample")
    (page,) = workers.of("fetch.fetch_page")
    deliver("fetch.fetch_page", *page.args)
    found = workers.of("index.index_mails")
    workers.sent.clear()
    assert leases.in_flight() == 1
    return found


@pytest.fixture
def busy(config: Config, shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A context: another writer is at work."""
    monkeypatch.setattr(index, "LOCK_WAIT_SECONDS", 0)
    return redis_lock(shared_redis, lock_name(config, "sample"), ttl=60, wait=0)


def test_a_round_ends_with_the_next_one(
    delivered: list[Sent], installation: Installation, leases: Leases, workers: Workers
) -> None:
    """Mails that are new ask for an analysis; the last part of the last page for a probe."""
    *parts, last = delivered
    for part in parts:
        deliver("index.index_mails", *part.args)
    (analysis,) = workers.sent
    assert (analysis.task, analysis.args) == ("analyse.update", ["sample"])
    assert analysis.options == {
        "argsrepr": "(sample: new mails)",
        "countdown": None,
        "expires": LEASE_SECONDS,
        "priority": FIRST,
    }
    deliver("index.index_mails", *last.args)
    assert installation.ids("sample") == set(installation.patchwork.control.ids("sample"))
    assert leases.in_flight() == 0
    (probe,) = workers.sent[1:]
    assert (probe.task, probe.args) == ("fetch.probe", ["sample"])
    assert probe.options == {"argsrepr": "(sample)", "expires": LEASE_SECONDS, "priority": FIRST}


def test_groups_wait_for_more_of_a_backlog(delivered: list[Sent], workers: Workers) -> None:
    """Else each part of it would be annotated as if it were the last; new mails do not wait."""
    deliver("index.index_mails", *delivered[0].args, priority=LATER)
    (analysis,) = workers.of("analyse.update")
    assert analysis.options["countdown"] == enqueue.SETTLE_SECONDS


def test_while_other_pages_are_in_flight_no_round_follows(
    delivered: list[Sent], leases: Leases, workers: Workers
) -> None:
    """What comes twice is stored once, and asks for nothing."""
    leases.take("another page")
    for sends in (["analyse.update"], []):
        for part in delivered:
            deliver("index.index_mails", *part.args)
        assert [sent.task for sent in workers.sent] == sends
        workers.sent.clear()
        context.debounce(enqueue.ANALYSIS).begin()
    assert leases.in_flight() == 1


def test_when_half_of_a_window_is_stored_a_round_follows(
    delivered: list[Sent], config: Config, leases: Leases, workers: Workers
) -> None:
    """Which asks for more, where there is more."""
    for number in range(config.fleet.window // 2):
        leases.take(f"another page {number}")
    deliver("index.index_mails", *delivered[-1].args)
    assert [sent.task for sent in workers.sent] == ["fetch.probe", "analyse.update"]


def test_who_finds_another_writer_comes_again(
    delivered: list[Sent], busy: Any, installation: Installation, leases: Leases, workers: Workers
) -> None:
    """As the same message: with its story, compressed, as urgent as it was; nothing is stored."""
    with busy, pytest.raises(Retry):
        deliver(
            "index.index_mails",
            *delivered[0].args,
            retries=3,
            priority=LATER,
            argsrepr=delivered[0].options["argsrepr"],
        )
    (again,) = workers.sent
    assert (again.task, again.args) == ("index.index_mails", delivered[0].args)
    assert {key: again.options[key] for key in ("countdown", "retries", "priority")} == {
        "countdown": index.BUSY_AGAIN_SECONDS,
        "retries": 4,
        "priority": LATER,
    }
    for kept in ("argsrepr", "compression"):
        assert again.options[kept] == delivered[0].options[kept]
    site = find_project(installation.config, "sample")
    assert site and not site.paths.index.exists()
    assert noted_trouble() is None


def test_who_waits_too_long_for_it_is_told(
    delivered: list[Sent], busy: Any, leases: Leases, workers: Workers
) -> None:
    """The next round asks for these mails again."""
    with busy, pytest.raises(LockHeld):
        deliver("index.index_mails", *delivered[0].args, retries=20)
    trouble = noted_trouble()
    assert trouble and (trouble.task, trouble.lasting) == ("index_mails", False)
    assert workers.sent == []


def test_work_on_a_project_keeps_what_is_in_flight(
    delivered: list[Sent], busy: Any, leases: Leases, shared_redis: redis.Redis, config: Config
) -> None:
    """Pages that were delivered may wait here for longer than a lease lasts."""
    (key,) = shared_redis.keys(f"patchsync:{config.namespace}:sample:leases")
    ((lease, until),) = shared_redis.zrange(key, 0, -1, withscores=True)
    shared_redis.zadd(key, {lease: until - LEASE_SECONDS / 2})
    with busy, pytest.raises(Retry):
        deliver("index.index_mails", *delivered[0].args)
    assert float(shared_redis.zscore(key, lease) or 0) >= until


@pytest.mark.parametrize(
    "error", [StaleWriter("overtaken"), LockHeld("busy"), StoreUnavailable("full"), GiveUp("mend")]
)
def test_what_storing_meets(
    leases: Leases, workers: Workers, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Another writer is waited for; all else ends the task, and shows with the project."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(index, "store_result", fail)
    monkeypatch.setattr(index, "synced_project", lambda *_: None)
    waits = isinstance(error, StaleWriter | LockHeld)
    with pytest.raises(Retry if waits else type(error)):
        deliver("index.index_mails", "sample", FetchResult().to_message())
    trouble = noted_trouble()
    assert (trouble and trouble.task) == (None if waits else "index_mails")
    assert [sent.task for sent in workers.sent] == ["index.index_mails"] * waits

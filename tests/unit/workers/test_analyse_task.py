"""`update`: one message at a time, which tries again, goes on and is followed by plans."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.exceptions import Retry, SoftTimeLimitExceeded
from worker_fakes import LEASE_SECONDS, PUSH_SECONDS, deliver, noted_trouble

from patchsync.analysis.engine import OnProgress, Stopped, Updated
from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld
from patchsync.fleet.backpressure import FIRST
from patchsync.fleet.leases import Leases
from tests.support.inprocess import Workers
from workers import analyse, context, enqueue

SINKS = '[push]\nsinks = ["check"]\n'
NO_ENGINE = '[analysis]\nengine = "none"\n'
PASTA = '[analysis]\nengine = "pasta"\npasta_root = "pasta"\npasta_project = "list"\n'
CHANGED = Updated(groups=2, mails=3, commits=0, summary="2 groups changed")
SAME = CHANGED._replace(groups=0)

Engine = Callable[[Updated | BaseException | None], None]


@pytest.fixture
def engine(config: Config, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Has updates end this way; each begins with nobody on his way to ask for another one."""

    def ends(how: Updated | BaseException | None) -> None:
        def update_groups(config: Config, on_progress: OnProgress) -> Updated | None:
            assert context.debounce(enqueue.ANALYSIS).ask()
            context.debounce(enqueue.ANALYSIS).begin()
            if isinstance(how, BaseException):
                raise how
            return how

        monkeypatch.setattr(analyse, "update_groups", update_groups)

    return ends


def tasks(workers: Workers) -> list[str]:
    """What was sent."""
    return [sent.task for sent in workers.sent]


def test_of_many_who_ask_one_is_sent(config: Config, engine: Engine, workers: Workers) -> None:
    """Until it is taken in hand: who stores something then asks anew."""
    for project in ("sample", "neighbour") * 3:
        enqueue.analyse(project)
    (sent,) = workers.sent
    assert (sent.task, sent.args) == ("analyse.update", ["sample"])
    assert sent.options["expires"] == LEASE_SECONDS
    engine(SAME)
    deliver("analyse.update", "sample")
    enqueue.analyse("neighbour")
    assert tasks(workers) == ["analyse.update"] * 2


@pytest.mark.parametrize("installation", [NO_ENGINE], indirect=True)
def test_without_an_engine_nobody_is_asked(
    config: Config, engine: Engine, workers: Workers
) -> None:
    """Nor does one that comes all the same do anything."""
    enqueue.analyse("sample")
    engine(None)
    deliver("analyse.update", "sample")
    assert workers.sent == []


@pytest.mark.parametrize(
    ("installation", "updated", "planned"),
    [(SINKS, CHANGED, ["sample", "neighbour"]), (SINKS, SAME, []), ("", CHANGED, [])],
    indirect=["installation"],
)
def test_what_changed_is_planned(
    engine: Engine, workers: Workers, updated: Updated, planned: list[str]
) -> None:
    """For each project, without the audit; where something is pushed."""
    engine(updated)
    deliver("analyse.update", "sample")
    assert set(tasks(workers)) <= {"push.plan"}
    assert [sent.args for sent in workers.sent] == [[project, False] for project in planned]
    for project, sent in zip(planned, workers.sent, strict=True):
        assert sent.options == {
            "argsrepr": f"({project}: groups changed)",
            "expires": PUSH_SECONDS,
            "priority": FIRST,
        }
    assert "analysis: 2 groups changed" in workers.log.getvalue()


@pytest.mark.parametrize("installation", [SINKS], indirect=True)
def test_a_project_that_it_could_not_look_at(engine: Engine, workers: Workers) -> None:
    """It is told, and what changed of the others is planned all the same."""
    engine(CHANGED._replace(trouble="the index is damaged"))
    deliver("analyse.update", "sample")
    assert set(tasks(workers)) == {"push.plan"}
    assert "ERROR   analysis: the index is damaged" in workers.log.getvalue()


def test_while_another_one_is_at_it(engine: Engine, leases: Leases, workers: Workers) -> None:
    """It tries again as the one that is on its way, with its story; it is no error."""
    engine(LockHeld("another analysis is under way"))
    with pytest.raises(Retry):
        deliver("analyse.update", "sample", retries=2, argsrepr="(sample: new mails)")
    (again,) = workers.sent
    assert (again.task, again.args) == ("analyse.update", ["sample"])
    assert (again.options["countdown"], again.options["retries"]) == (5.0, 3)
    assert again.options["argsrepr"] == "(sample: new mails)"
    enqueue.analyse("sample")
    assert len(workers.sent) == 1
    assert noted_trouble() is None
    assert "ERROR" not in workers.log.getvalue()


@pytest.mark.parametrize("retries", [0, 20])
def test_one_that_need_not_try_again_does_not(
    config: Config, workers: Workers, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    """Another message is on its way, or it tried often enough: beat asks again."""

    def busy(*_: object) -> None:
        if not retries:
            enqueue.analyse("neighbour")
        raise LockHeld("another analysis is under way")

    monkeypatch.setattr(analyse, "update_groups", busy)
    deliver("analyse.update", "sample", retries=retries)
    assert [sent.args for sent in workers.sent] == [["neighbour"]] * (not retries)
    assert "beat asks again" in workers.log.getvalue()


@pytest.mark.parametrize("error", [Stopped(), SoftTimeLimitExceeded()])
def test_cut_off_at_its_limit_it_goes_on(
    engine: Engine, workers: Workers, error: Exception
) -> None:
    """The log says so in a line, and another update begins where this one ended."""
    engine(error)
    deliver("analyse.update", "sample")
    assert tasks(workers) == ["analyse.update"]
    assert workers.log.getvalue().count("WARNING analysis: not through in its time") == 1


def test_an_error_is_not_the_projects(engine: Engine, leases: Leases, workers: Workers) -> None:
    """That one may be in step: the update keeps a record of its own."""
    engine(GiveUp("PaStA failed"))
    with pytest.raises(GiveUp):
        deliver("analyse.update", "sample")
    assert noted_trouble() is None
    assert "ERROR   update of sample: PaStA failed" in workers.log.getvalue()
    assert workers.sent == []


@pytest.mark.parametrize(
    ("installation", "seconds"), [("", 300), (PASTA, 1000)], indirect=["installation"]
)
def test_a_long_one_is_told_of_and_bounded(
    config: Config, workers: Workers, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Now and then how far it is; the builtin ends in its time, PaStA has a limit of its own.

    After a long one another follows: what was asked for meanwhile may have expired.
    """

    def update_groups(config: Config, on_progress: OnProgress) -> Updated:
        for second in range(1000):
            on_progress("mails", second, 1000)
            analyse.time.sleep(1)  # Only that module's clock goes on.
        return SAME

    monkeypatch.setattr(analyse, "update_groups", update_groups)
    deliver("analyse.update", "sample")
    said = [line for line in workers.log.getvalue().splitlines() if ": mails: " in line]
    assert len(said) == pytest.approx(seconds / 15, abs=2)
    assert tasks(workers) == ["analyse.update"]


def starts(*queues: str) -> None:
    """A worker of these queues is ready."""
    consume: dict[str, Any] = dict.fromkeys(queues)
    amqp = SimpleNamespace(queues=SimpleNamespace(consume_from=consume))
    analyse._catch_up(SimpleNamespace(app=SimpleNamespace(amqp=amqp)))


def test_a_worker_that_starts_catches_up(
    config: Config, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was enqueued for one that was killed would not come again by itself."""
    enqueue.analyse("sample")
    workers.sent.clear()
    starts("fetch", "index")
    assert workers.sent == []
    starts("analyse")
    assert [sent.args for sent in workers.sent] == [["sample"]]

    def gone(*_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(enqueue, "debounce", gone)
    starts("analyse")

"""`plan` and `send`: who agreed, what is enqueued, and what an answer that was lost does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Self

import pytest
import redis
from worker_fakes import LEASE_SECONDS, PUSH_SECONDS, deliver, noted_trouble

from patchsync.config import Config
from patchsync.errors import AnswerLost, PatchsyncError, PushShareSpent, Refused
from patchsync.fleet.backpressure import FIRST
from patchsync.fleet.leases import Leases
from patchsync.patchwork.rate_limit_state import key_prefix
from patchsync.push.entries import Sink
from patchsync.push.jobs import Job
from patchsync.push.plan import Planned
from tests.support.inprocess import Sent, Workers
from workers import context, enqueue, push

NUMBER = 7


@dataclass
class FakeService:
    """A service that has these jobs, and is told what it does."""

    jobs_of: list[Job] = field(default_factory=list)
    may: bool = True
    error: PatchsyncError | None = None
    done: list[Job] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    projects: dict[str, SimpleNamespace] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def may_push(self, project_id: int) -> bool:
        assert project_id == NUMBER
        return self.may

    def obstacle(self, project: SimpleNamespace) -> str:
        assert project.paths.project_id == NUMBER
        return "what is in the way, and the remedy"

    def plan(self) -> Planned:
        self.asked.append("plan")
        if self.error:
            raise self.error
        return Planned(groups=1, changed=2)

    def audit(self, project_ids: set[int]) -> list[Job]:
        assert project_ids == {NUMBER}
        self.asked.append("audit")
        return [relation(1000)]

    def jobs(self, project_ids: set[int]) -> list[Job]:
        assert project_ids == {NUMBER}
        return self.jobs_of

    def do(self, job: Job) -> Iterator[SimpleNamespace]:
        self.done.append(job)
        yield SimpleNamespace(patch_id=1, text="shown", trouble=False)
        yield SimpleNamespace(patch_id=2, text="no right", trouble=True)
        if self.error:
            raise self.error


def relation(*patch_ids: int) -> Job:
    return Job(key="sample", sink=Sink.RELATION, patch_ids=patch_ids)


@pytest.fixture
def service(config: Config, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """What the tasks have for a service, of a project that is in the store."""
    service = FakeService()
    monkeypatch.setattr(context, "push", lambda: service)
    project = SimpleNamespace(name="sample", paths=SimpleNamespace(project_id=NUMBER))
    service.projects = {"sample": project}
    monkeypatch.setattr(push, "find_project", lambda config, key: service.projects.get(key))
    return service


def args_of(workers: Workers) -> list[list[object]]:
    """Of the jobs that were enqueued."""
    assert {sent.task for sent in workers.sent} <= {"push.send"}
    return [sent.args for sent in workers.sent]


@pytest.mark.parametrize("audit", [True, False])
def test_a_plan_enqueues_what_is_pending(
    service: FakeService, workers: Workers, audit: bool
) -> None:
    """What people did first, where it looks at that; each job expires before the next plan."""
    service.jobs_of = [relation(1, 2), Job(key="sample", sink=Sink.CHECK, patch_ids=(3, 4, 5))]
    deliver("push.plan", "sample", *([] if audit else [False]))
    assert args_of(workers) == [
        *([["sample", "relation", [1000]]] if audit else []),
        ["sample", "relation", [1, 2]],
        ["sample", "check", [3, 4, 5]],
    ]
    assert service.asked == ["plan", "audit"][: 1 + audit]
    assert workers.sent[-1].options == {
        "argsrepr": "(sample: check, 3 patches)",
        "expires": PUSH_SECONDS,
    }
    assert f"sample: 1 groups changed, 2 annotations, {2 + audit} jobs" in workers.log.getvalue()
    assert service.closed


def test_a_plan_enqueues_so_many_at_most(service: FakeService, workers: Workers) -> None:
    """The next one takes the rest; what people did is never the rest."""
    service.jobs_of = [relation(number) for number in range(push.MOST_JOBS + 50)]
    deliver("push.plan", "sample")
    assert [sent.args[2] for sent in workers.of("push.send")] == [
        [1000],
        *([number] for number in range(push.MOST_JOBS - 1)),
    ]


def test_what_a_plan_left_is_taken_by_one_behind_its_jobs(
    service: FakeService, workers: Workers
) -> None:
    """At once, not when beat asks, and for as long as they become fewer: then beat asks."""
    service.jobs_of = [relation(number) for number in range(push.MOST_JOBS + 50)]
    deliver("push.plan", "sample", False)
    assert [sent.task for sent in workers.sent] == ["push.send"] * push.MOST_JOBS + ["push.plan"]
    follows = workers.sent.pop()
    assert follows.args == ["sample", False, push.MOST_JOBS + 50]
    assert (follows.options["expires"], follows.options["priority"]) == (PUSH_SECONDS, FIRST)
    deliver("push.plan", *follows.args)
    assert not workers.of("push.plan"), "the server is in trouble: nothing became less"
    del service.jobs_of[-1]
    deliver("push.plan", *follows.args)
    (follows,) = workers.of("push.plan")
    assert follows.args[2] == push.MOST_JOBS + 49
    del service.jobs_of[-49:]
    workers.sent.clear()
    deliver("push.plan", *follows.args)
    assert len(args_of(workers)) == push.MOST_JOBS


def test_a_plan_is_one_errand(service: FakeService, workers: Workers) -> None:
    """Once it has begun another one may be asked for; of another project at any time."""
    for project in ("sample", "sample", "neighbour"):
        enqueue.plan(project)
    # For as long as it may wait behind jobs: two that come one after the other enqueue all twice.
    namespace = context.config().namespace
    key = f"patchsync:{namespace}:debounce:{enqueue.planning('sample')}"
    left = context.redis_client().pttl(key)
    assert workers.sent[0].options["expires"] == PUSH_SECONDS
    assert 1000 * LEASE_SECONDS < left <= 1000 * PUSH_SECONDS
    deliver("push.plan", "sample", False)
    enqueue.plan("sample")
    assert [sent.args[0] for sent in workers.of("push.plan")] == ["sample", "neighbour", "sample"]


@pytest.fixture
def asked_meanwhile(
    service: FakeService, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> Sent:
    """The message of a plan that was asked for while one was made that had jobs."""
    service.jobs_of = [relation(1), relation(2)]
    with monkeypatch.context() as patch:
        patch.setattr(
            service, "plan", lambda: [enqueue.plan("sample"), Planned(groups=1, changed=2)][1]
        )
        deliver("push.plan", "sample", False)
    assert [sent.task for sent in workers.sent] == ["push.plan", "push.send", "push.send"]
    return workers.sent.pop(0)


def test_a_plan_that_is_asked_for_meanwhile_goes_behind_the_jobs(
    service: FakeService, workers: Workers, asked_meanwhile: Sent
) -> None:
    """It would enqueue them again; once, and nobody gets a second one."""
    deliver("push.plan", *asked_meanwhile.args)
    assert [sent.task for sent in workers.sent] == ["push.send", "push.send", "push.plan"]
    assert (workers.sent[-1].args, service.asked) == (asked_meanwhile.args, [])
    enqueue.plan("sample")
    assert len(workers.of("push.plan")) == 1
    deliver("push.plan", *asked_meanwhile.args)
    assert (service.asked, len(workers.of("push.send"))) == (["plan"], 4)
    # That one had jobs too, but nobody asked meanwhile.
    enqueue.plan("sample")
    deliver("push.plan", *asked_meanwhile.args)
    assert (service.asked, len(workers.of("push.send"))) == (["plan"] * 2, 6)


def test_a_plan_of_beat_stays_where_it_is(service: FakeService, asked_meanwhile: Sent) -> None:
    """It has more to do: it looks at what people did."""
    deliver("push.plan", "sample")
    assert service.asked == ["plan", "audit"]


def test_nothing_is_planned_until_somebody_agrees(
    service: FakeService, workers: Workers, leases: Leases
) -> None:
    """It says how to; it is no error, and Patchwork is not asked."""
    service.may = False
    deliver("push.plan", "sample")
    assert (workers.sent, service.asked, noted_trouble()) == ([], [], None)
    said = "sample: nothing is pushed: what is in the way, and the remedy"
    assert said in workers.log.getvalue()


def test_a_project_that_is_not_synced_yet(service: FakeService, workers: Workers) -> None:
    """There is nothing to say of it."""
    service.projects.clear()
    deliver("push.plan", "sample")
    deliver("push.send", "sample", "check", [1])
    assert (workers.sent, service.asked, service.done) == ([], [], [])


def test_a_job_is_done(service: FakeService, workers: Workers) -> None:
    """What came of each patch is logged, trouble so that it is seen."""
    deliver("push.send", "sample", "relation", [1, 2])
    assert service.done == [relation(1, 2)]
    assert "INFO    relation: patch 1: shown" in workers.log.getvalue()
    assert "WARNING relation: patch 2: no right" in workers.log.getvalue()
    assert service.closed


def test_who_agrees_no_more_is_heard(service: FakeService, workers: Workers) -> None:
    """Also by jobs that were enqueued before."""
    service.may = False
    deliver("push.send", "sample", "check", [1])
    assert service.done == []
    assert "check of sample: nobody agrees to push any more" in workers.log.getvalue()


def test_a_lost_answer_is_looked_up_later(
    service: FakeService, workers: Workers, leases: Leases
) -> None:
    """It is no error: the ledger knows of it."""
    service.error = AnswerLost("the connection broke")
    deliver("push.send", "sample", "check", [1])
    assert "check of sample: the connection broke; it is looked up later" in workers.log.getvalue()
    assert noted_trouble() is None


def test_a_plan_enqueues_nothing_once_the_share_of_the_day_is_spent(
    service: FakeService,
    workers: Workers,
    leases: Leases,
    config: Config,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It plans, so that the status is right, and asks Patchwork nothing; that is no trouble."""
    monkeypatch.setattr(type(config), "push_budget", 5)
    service.jobs_of = [relation(1, 2)]
    seconds, _ = redis_client.time()
    counts = {"day": seconds // 86400, "push": 5}
    redis_client.hset(f"{key_prefix(config)}:requests", mapping=counts)
    deliver("push.plan", "sample")
    assert (workers.sent, service.asked, noted_trouble()) == ([], ["plan"], None)
    assert "push waits: its share of the day's requests is spent" in workers.log.getvalue()
    redis_client.hset(f"{key_prefix(config)}:requests", "push", 4)
    deliver("push.plan", "sample")
    assert len(workers.sent) == 2


def test_a_share_that_is_spent_meanwhile_is_no_trouble(
    service: FakeService, workers: Workers, leases: Leases
) -> None:
    """What was not sent is sent tomorrow."""
    service.error = PushShareSpent("push's share is spent")
    deliver("push.send", "sample", "check", [1])
    assert "INFO    push's share is spent" in workers.log.getvalue()
    assert noted_trouble() is None


@pytest.mark.parametrize(("task", "rest"), [("plan", ()), ("send", ("check", [1]))])
def test_an_error_is_told(
    service: FakeService, workers: Workers, leases: Leases, task: str, rest: Iterable[object]
) -> None:
    """On the leases, and nothing is enqueued."""
    service.error = Refused("403: the token is wrong")
    with pytest.raises(Refused):
        deliver(f"push.{task}", "sample", *rest)
    trouble = noted_trouble()
    assert trouble and (trouble.task, trouble.message) == (task, "403: the token is wrong")
    assert workers.sent == []
    assert service.closed

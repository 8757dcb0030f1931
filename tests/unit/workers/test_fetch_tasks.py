"""`probe`, `audit`, `fetch_page` and `fetch_patches`: what they ask for, send and give back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import redis
from worker_fakes import LEASE_SECONDS, deliver, noted_trouble

from patchsync.config import Config
from patchsync.errors import GiveUp, ServerUnavailable, TryAgainLater
from patchsync.fleet.backpressure import FIRST, LATER
from patchsync.fleet.leases import Leases
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.paging import Page
from patchsync.sync import probe
from patchsync.sync.compare import PageToFetch
from patchsync.sync.differences import Differences
from patchsync.sync.fetch import lease_of
from patchsync.sync.projects import synced_project
from patchsync.sync.request_count import keep_count
from standin.process import StandinProcess
from tests.support.inprocess import Sent, Workers
from workers import context, enqueue, fetch

pytestmark = pytest.mark.usefixtures("installation")

PAGE = Page("id", 250, 1)
WANT = PageToFetch(PAGE, (3, 4))
LEASE = fetch.lease_of(PAGE)
SEEN = FetchResult(gone=(7,))

Finds = Callable[[Differences | Exception], None]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Finds:
    """Has the next comparisons find this, or fail."""

    def found(what: Differences | Exception) -> None:
        def compare(*_: object, **__: object) -> Differences:
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr(fetch, "compare_with_store", compare)
        monkeypatch.setattr(fetch, "audit_next_pages", compare)

    return found


def asked(patchwork: StandinProcess) -> int:
    """How many requests there were."""
    return int(patchwork.control.stats()["requests"])


# --- probe and audit -------------------------------------------------------------------------


def test_a_probe_asks_for_what_differs(
    leases: Leases, workers: Workers, patchwork: StandinProcess
) -> None:
    """Each page with a lease of its own; the story says which, and how much of it is held."""
    deliver("fetch.probe", "sample")
    assert len(workers.sent) == leases.in_flight() > 0
    for sent in workers.of("fetch.fetch_page"):
        key, page, held, lease = sent.args
        assert (key, held) == ("sample", [])
        assert lease == fetch.lease_of(Page.from_message(page))
        assert leases.is_out(lease)
        assert sent.options["argsrepr"] == f"(sample: {lease}, 0 held)"
        assert sent.options["priority"] == FIRST
        # Not Celery's: it would be dropped silently, and its lease would stay.
        assert "expires" not in sent.options


def test_a_round_reads_nothing_of_other_projects(config: Config, finds: Finds) -> None:
    """Else it would cost more with each of them, and one worker would not be through in time."""
    finds(Differences())
    deliver("fetch.probe", "neighbour")
    deliver("fetch.probe", "sample")
    neighbour = synced_project(config, "neighbour")
    keep_count(neighbour, context.limiter(has_store=True))
    for file in (neighbour.paths.origin, neighbour.paths.requests):
        assert file.exists()
        file.write_text("not to be read")
    deliver("fetch.probe", "sample")
    keep_count(synced_project(config, "sample"), context.limiter(has_store=True))


def test_while_a_round_is_under_way_nothing_is_asked(
    workers: Workers, patchwork: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the probe, which keeps the count of requests all the same, nor by the audit."""
    deliver("fetch.probe", "sample")
    workers.sent.clear()
    before = asked(patchwork)
    kept: list[str] = []
    monkeypatch.setattr(fetch, "keep_count", lambda project, limiter: kept.append(project.name))
    deliver("fetch.probe", "sample")
    assert kept == ["sample"]
    deliver("fetch.audit", "sample")
    assert workers.sent == []
    assert asked(patchwork) == before


@pytest.mark.parametrize(
    ("before", "left", "goes_on"), [(0, 0, True), (0, -3, True), (0, 1, False), (-1, 0, False)]
)
def test_a_backlog_does_not_wait_for_its_last_page(
    config: Config,
    leases: Leases,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
    before: int,
    left: int,
    goes_on: bool,
) -> None:
    """Where a round asked for as much as it may, the next one begins when half is stored."""
    asked: list[tuple[int, list[Page]]] = []
    real = probe.compare

    def compare(*args: Any) -> Any:
        asked.append(args[2:])
        return real(*args)

    monkeypatch.setattr(probe, "compare", compare)
    deliver("fetch.probe", "sample")
    paths = synced_project(config, "sample").paths
    record = json.loads(paths.round.read_bytes())
    window = config.fleet.window
    paths.round.write_text(json.dumps(record | {"pages": window + before}))
    for lease in leases.names():
        leases.release(lease)
    asked.clear()
    pages = [Page("-id", 250, number) for number in range(1, window // 2 + left + 1)]
    for page in pages:
        leases.take(lease_of(page))
    deliver("fetch.probe", "sample")
    assert [(most, set(pages)) for most, pages in asked] == (
        [(window - len(pages), set(pages))] if goes_on else []
    )


@pytest.mark.parametrize("task", ["probe", "audit"])
def test_what_was_found_is_handed_on(
    finds: Finds, leases: Leases, workers: Workers, task: str
) -> None:
    """What was seen to index, under a lease: until it is stored the next one would see it again."""
    finds(Differences(want=(WANT,), seen=SEEN))
    deliver(f"fetch.{task}", "sample")
    seen, page = workers.sent
    assert seen.task == "index.index_mails"
    assert FetchResult.from_message(seen.args[1]) == FetchResult(gone=(7,), lease=fetch.SEEN_LEASE)
    assert seen.options["argsrepr"] == "(sample: 1 gone, ends what was seen)"
    assert page.task == "fetch.fetch_page"
    assert page.args == ["sample", asdict(PAGE), [3, 4], LEASE]
    assert page.options["argsrepr"] == f"(sample: {LEASE}, 2 held)"
    assert leases.is_out(fetch.SEEN_LEASE)
    assert leases.is_out(LEASE)


def test_a_page_is_not_asked_for_twice(
    leases: Leases, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another one took its lease meanwhile."""

    def compare(*_: object) -> Differences:
        leases.take(LEASE)
        return Differences(want=(WANT, PageToFetch(Page("id", 250, 2), ())))

    monkeypatch.setattr(fetch, "compare_with_store", compare)
    deliver("fetch.probe", "sample")
    assert [sent.args[1]["page"] for sent in workers.sent] == [2]


def test_a_backlog_lets_others_go_first(finds: Finds, workers: Workers) -> None:
    """A few pages do not wait; many do."""
    for number, priority in ((fetch.FEW_PAGES, FIRST), (fetch.FEW_PAGES + 1, LATER)):
        finds(Differences(want=tuple(PageToFetch(Page("-id", 250, n), ()) for n in range(number))))
        deliver("fetch.probe", "sample" if priority == FIRST else "neighbour")
        assert [sent.options["priority"] for sent in workers.sent] == [priority] * number
        workers.sent.clear()


def test_what_was_quarantined_is_tried_again_once(
    finds: Finds, leases: Leases, workers: Workers
) -> None:
    """Behind all else, and by one message at a time."""
    finds(Differences(due=(5, 6)))
    deliver("fetch.probe", "sample")
    (sent,) = workers.sent
    assert (sent.task, sent.args) == ("fetch.fetch_patches", ["sample", [5, 6]])
    assert sent.options["argsrepr"] == "(sample: 2 that were quarantined)"
    assert (sent.options["priority"], sent.options["expires"]) == (LATER, LEASE_SECONDS)
    assert leases.is_out(enqueue.QUARANTINE_LEASE)
    deliver("fetch.probe", "sample")
    assert len(workers.sent) == 1


@pytest.mark.parametrize("ended", [True, False])
def test_an_audit_that_is_to_go_on_does(
    finds: Finds, leases: Leases, workers: Workers, ended: bool
) -> None:
    """With `since`, whatever is in flight, until it has ended; in rotation it waits for beat."""
    finds(Differences(ended=ended))
    deliver("fetch.audit", "sample")
    assert workers.sent == []
    leases.take("another page")
    deliver("fetch.audit", "sample", 5.5, 4.5)
    assert [sent.args for sent in workers.of("fetch.audit")] == [["sample", 5.5, 4.5]] * (not ended)
    for sent in workers.sent:
        assert sent.options["argsrepr"] == "(sample: on to the last page)"


def test_audits_take_turns(
    workers: Workers, finds: Finds, shared_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one ends at once, and comes again when the first has ended, however that ends."""
    audited: list[str] = []

    def beside_another(project: str, since: float | None, listed_since: float | None) -> None:
        audited.append(project)
        if project == "sample":
            deliver("fetch.audit", "neighbour")
            deliver("fetch.audit", "neighbour", 5.5, 4.5)
            deliver("fetch.audit", "neighbour")
            assert audited == ["sample"]
            raise ServerUnavailable("no answer")

    monkeypatch.setattr(fetch, "_audit", beside_another)
    with pytest.raises(ServerUnavailable):
        deliver("fetch.audit", "sample")
    for number in (1, 2):
        sent = workers.of("fetch.audit")
        assert len(sent) == number
        assert sent[-1].args in (["neighbour", None, None], ["neighbour", 5.5, 4.5])
        deliver("fetch.audit", *sent[-1].args)
    assert audited == ["sample", "neighbour", "neighbour"]
    assert len(workers.of("fetch.audit")) == 2
    assert not shared_redis.keys("*audits")


@pytest.mark.parametrize("task", ["probe", "audit"])
@pytest.mark.parametrize("error", [ServerUnavailable("it is away"), GiveUp("mend it")])
def test_an_error_is_told(
    finds: Finds, leases: Leases, workers: Workers, task: str, error: Exception
) -> None:
    """In one line of the log, and with the project with whether somebody has to do something."""
    finds(error)
    with pytest.raises(type(error)):
        deliver(f"fetch.{task}", "sample")
    trouble = noted_trouble()
    assert trouble is not None
    assert (trouble.task, trouble.message) == (task, str(error))
    assert trouble.lasting == isinstance(error, GiveUp)
    assert f"ERROR   {task} of sample: {error}\n" in workers.log.getvalue()
    assert "Traceback" not in workers.log.getvalue()
    assert workers.sent == []


def test_without_redis_it_is_left_to_the_next_one(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is an error of the family, and one line of the log."""

    def gone(*_: object) -> int:
        raise redis.ConnectionError("nobody is there")

    monkeypatch.setattr(Leases, "names", gone)
    with pytest.raises(TryAgainLater, match="does not serve us: nobody is there"):
        deliver("fetch.probe", "sample")
    assert workers.sent == []


# --- fetch_page and fetch_patches ------------------------------------------------------------


def deliveries(sent: list[Sent]) -> list[FetchResult]:
    """What was handed to index."""
    assert {each.task for each in sent} <= {"index.index_mails"}
    assert all(each.args[0] == "sample" for each in sent)
    return [FetchResult.from_message(each.args[1]) for each in sent]


def test_a_page_is_handed_over_bit_by_bit(
    leases: Leases, workers: Workers, patchwork: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed; the last part gives the lease back, which is index' to do."""
    monkeypatch.setattr("patchsync.sync.fetch.MOST_MAILS", 1)
    ids = patchwork.control.ids("sample")
    leases.take(LEASE)
    deliver("fetch.fetch_page", "sample", asdict(PAGE), ids[:2], LEASE)
    found = deliveries(workers.sent)
    assert sorted(mail.patch_id for each in found for mail in each.mails) == ids[2:]
    assert [each.lease for each in found] == [None] * (len(found) - 1) + [LEASE]
    assert all(sent.options["compression"] == "zlib" for sent in workers.sent)
    assert workers.sent[0].options["argsrepr"] == "(sample: 1 mails)"
    assert len(found) == len(ids) - 2, "what was seen comes with the last mails"
    assert leases.is_out(LEASE)


def test_nobody_waits_for_it_any_more(workers: Workers, patchwork: StandinProcess) -> None:
    """It came twice, or too late: nothing is asked."""
    deliver("fetch.fetch_page", "sample", asdict(PAGE), [], LEASE)
    assert (workers.sent, asked(patchwork)) == ([], 0)


def test_a_page_that_fails_gives_its_lease_back(
    leases: Leases, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found before is handed over; the next round asks for the rest."""

    def half(*_: object) -> Iterator[FetchResult]:
        yield FetchResult(gone=(1,))
        raise ServerUnavailable("it went away")

    monkeypatch.setattr(fetch, "fetch_listed", half)
    leases.take(LEASE)
    with pytest.raises(ServerUnavailable):
        deliver("fetch.fetch_page", "sample", asdict(PAGE), [], LEASE)
    assert deliveries(workers.sent) == [FetchResult(gone=(1,))]
    assert not leases.in_flight()
    trouble = noted_trouble()
    assert trouble is not None
    assert (trouble.task, trouble.lasting) == ("fetch_page", False)


@pytest.mark.parametrize("priority", [FIRST, LATER])
def test_while_too_much_waits_nothing_is_begun(
    leases: Leases,
    workers: Workers,
    patchwork: StandinProcess,
    monkeypatch: pytest.MonkeyPatch,
    priority: int,
) -> None:
    """It keeps its lease meanwhile, and gives it back in the end; a backlog's page leaves room."""
    brakes: list[dict[str, Any]] = []

    class Full:
        def __init__(self, backlog: object, bound: int, **how: Any) -> None:
            brakes.append(how)

        def wait(self, waiting: Callable[[], object]) -> None:
            leases.release(LEASE)
            waiting()
            assert leases.is_out(LEASE)
            raise TryAgainLater("no room")

    monkeypatch.setattr(fetch, "Backpressure", Full)
    leases.take(LEASE)
    with pytest.raises(TryAgainLater):
        deliver("fetch.fetch_page", "sample", asdict(PAGE), [], LEASE, priority=priority)
    assert brakes == [{"later": priority == LATER}]
    assert (workers.sent, asked(patchwork), leases.in_flight()) == ([], 0, 0)


def test_each_part_waits_for_room(
    leases: Leases, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last one, and keeps the lease; one that is asked for by hand has it now."""
    sent_before: list[int] = []

    class Room:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def wait(self, waiting: Callable[[], object]) -> None:
            assert leases.is_out(LEASE)
            leases.release(LEASE)
            waiting()
            assert leases.is_out(LEASE)
            sent_before.append(len(workers.sent))

    monkeypatch.setattr(fetch, "Backpressure", Room)
    deliver("fetch.fetch_page", "sample", asdict(PAGE), [])
    assert sent_before == [0, *range(len(workers.sent))]


def test_single_patches_are_had_by_their_ids(
    leases: Leases, workers: Workers, patchwork: StandinProcess
) -> None:
    """The last part ends the lease on what was quarantined; one that is not there is gone."""
    ids = patchwork.control.ids("sample")
    deliver("fetch.fetch_patches", "sample", [ids[0], 999_999])
    (last,) = deliveries(workers.sent)
    assert [mail.patch_id for mail in last.mails] == ids[:1]
    assert (last.gone, last.lease) == ((999_999,), enqueue.QUARANTINE_LEASE)
    assert leases.is_out(enqueue.QUARANTINE_LEASE)


@pytest.mark.parametrize("ids", ["17", [0], ["17"], [True], {"17": 18}])
def test_what_is_no_list_of_ids_is_refused(
    workers: Workers, patchwork: StandinProcess, ids: object
) -> None:
    """Before anything is asked."""
    with pytest.raises(GiveUp, match=r"is no list of patchwork ids like \[17, 18\]"):
        deliver("fetch.fetch_patches", "sample", ids)
    assert (workers.sent, asked(patchwork)) == ([], 0)

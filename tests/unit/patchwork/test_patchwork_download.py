"""The mails of a listed page: the right ones, in few requests, and nothing wrong."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Collection, Generator, Iterator

import pytest
from patchwork_fakes import (
    NOT_FOUND,
    Answer,
    FakeProject,
    FakeServer,
    MakeClient,
    RecordingLimiter,
    as_html,
    as_json,
    mbox,
    message_id,
    rendered_mail,
)

from patchsync.errors import ServerUnavailable
from patchsync.patchwork.client import Client
from patchsync.patchwork.download import Found, Limits, Unstorable, batches, fetch_missing
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail, parse_mail
from patchsync.patchwork.paging import Page
from patchsync.patchwork.schemas import PatchEntry
from tests.support.installation import wait_until

FAKE_NINE = (
    b"From patchwork Tue Apr 30 08:54:45 2019\n"
    b"X-Patchwork-Id: 9\nMessage-Id: <9@example.org>\n\nImitated\n"
)
LIMITS = Limits(max_mail_bytes=2000, max_series_bytes=4000)


def listed(client: Client, project: FakeProject) -> tuple[PatchEntry, ...]:
    project.list()
    listing = client.list_page(project.key, Page("id", 250, 1))
    assert listing is not None
    return listing.entries


def fetch(
    client: Client, project: FakeProject, held: Collection[int] = (), limits: Limits = LIMITS
) -> dict[int, Found]:
    found = fetch_missing(client, project.key, listed(client, project), held, limits)
    return {each.patch_id: each for each in found}


def are_right(found: dict[int, Found], *ids: int) -> bool:
    """Whether these mails, and no other, are there as Patchwork renders them."""
    return found == {number: parse_mail(rendered_mail(number)) for number in ids}


def downloads(server: FakeServer) -> list[str]:
    return sorted(
        request.path
        for request in server.requests
        if "mbox" in request.path or "/series/" in request.path
    )


def single(number: int) -> str:
    return f"/project/linux/patch/{number}@example.org/mbox/"


def test_a_series_is_one_request(
    client: Client, server: FakeServer, project: FakeProject, limiter: RecordingLimiter
) -> None:
    """At our server, whatever host the answer names, and counted for the project."""
    project.add_series(3, 5, 6, 7)
    project.add_series(4, 8)
    assert are_right(fetch(client, project), 5, 6, 7, 8)
    assert downloads(server) == [single(8), "/series/3/mbox/"]
    assert set(limiter.waits) == {"", "linux"}


def test_what_is_held_is_not_downloaded(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """A series of which one is missing is asked for that one."""
    project.add_series(3, 5, 6, 7)
    project.add_series(4, 8, 9)
    assert are_right(fetch(client, project, held={5, 7, 8, 9}), 6)
    assert downloads(server) == [single(6)]


def test_a_series_of_which_some_are_held_gives_the_others(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Those held come along, and are left out."""
    project.add_series(3, 5, 6, 7)
    assert are_right(fetch(client, project, held={6}), 5, 7)
    assert downloads(server) == ["/series/3/mbox/"]


def test_a_series_over_the_border_of_the_page_is_one_request_more(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """What follows the last listed mail may be another one or the rest of its body."""
    project.add_series(3, 5, 6, 7, 8)
    del project.entries[2:]
    assert are_right(fetch(client, project), 5, 6)
    assert downloads(server) == [single(6), "/series/3/mbox/"]


@pytest.mark.parametrize("body", [b"Text\n" + FAKE_NINE, b"Text\n" + FAKE_NINE.replace(b"9", b"6")])
def test_a_body_that_imitates_a_mail_is_not_taken_in(
    client: Client, project: FakeProject, body: bytes
) -> None:
    """Whether it claims to be another patch or one of the series: what is in doubt comes singly."""
    project.add_series(3, 5, 6, bodies={5: body})
    found = fetch(client, project)
    assert found[5] == parse_mail(rendered_mail(5, body))
    assert found[6] == parse_mail(rendered_mail(6))
    assert len(found) == 2


@pytest.mark.parametrize(
    "content",
    [
        rendered_mail(5),
        b"\n".join([rendered_mail(5), rendered_mail(6), rendered_mail(6)]),
        b"\n".join([rendered_mail(5), rendered_mail(6, named="<other@example.org>")]),
        b"\n".join([rendered_mail(5), rendered_mail(6), rendered_mail(99)]),
        b"nonsense",
    ],
)
def test_what_is_not_as_listed_is_asked_for_singly(
    client: Client, server: FakeServer, project: FakeProject, content: bytes
) -> None:
    """The series may have changed meanwhile; what is listed decides."""
    project.add_series(3, 5, 6)
    server.says("/series/3/mbox/", mbox(content))
    assert are_right(fetch(client, project), 5, 6)
    assert single(6) in downloads(server)


def test_only_the_mail_that_is_in_doubt_is_asked_for_again(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """One body that imitates another patch does not cost the whole series."""
    project.add_series(3, 5, 6, 7, 8, bodies={6: b"Text\n" + FAKE_NINE})
    found = fetch(client, project)
    assert found[6] == parse_mail(rendered_mail(6, b"Text\n" + FAKE_NINE))
    assert downloads(server) == [single(6), "/series/3/mbox/"]


def test_a_mail_that_left_its_series_is_asked_for_singly(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """It is still listed as one of it, but the series' mbox is without it."""
    project.add_series(3, 5, 6, 7)
    server.says("/series/3/mbox/", mbox(rendered_mail(5) + b"\n" + rendered_mail(6)))
    assert are_right(fetch(client, project), 5, 6, 7)


@pytest.mark.parametrize("answer", [NOT_FOUND, as_html(500), mbox(b"x" * 5000)])
def test_a_series_that_cannot_be_had_is_asked_for_singly(
    client: Client, server: FakeServer, project: FakeProject, answer: Answer
) -> None:
    """Not there, not rendered because of one mail in it, or too large at once."""
    project.add_series(3, 5, 6)
    server.says("/series/3/mbox/", answer)
    assert are_right(fetch(client, project), 5, 6)


def test_a_patch_without_series_is_asked_for_singly(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Two of them are not two of one series."""
    project.add_series(3, 5)
    project.add_series(4, 6)
    for entry in project.entries:
        entry["series"] = []
    assert are_right(fetch(client, project), 5, 6)
    assert downloads(server) == [single(5), single(6)]


@pytest.mark.parametrize("answer", [NOT_FOUND, as_html(400), as_html(410)])
def test_a_mail_that_its_message_id_does_not_lead_to_is_asked_for_by_id(
    client: Client, server: FakeServer, project: FakeProject, answer: Answer
) -> None:
    """The path may be one that something in front of the Patchwork refuses."""
    project.add_series(3, 5)
    server.says("/patch/5/mbox/", mbox(rendered_mail(5)))
    server.says(single(5), answer)
    assert are_right(fetch(client, project), 5)


def test_a_mail_that_patchwork_does_not_find_comes_with_its_series(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Patchwork lists a message-id without brackets, but finds no mail by it."""
    project.add_series(3, 5, 6)
    content = [rendered_mail(5, named="5 at example.org"), rendered_mail(6)]
    server.says("/series/3/mbox/", mbox(b"\n".join(content)))
    server.says(single(5), NOT_FOUND)
    project.entries[0]["msgid"] = "5 at example.org"
    found = fetch(client, project, held={6})
    assert found == {5: parse_mail(content[0])}


def test_a_listed_mail_that_nothing_leads_to_is_quarantined(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Else it would be asked for in each round, for ever."""
    project.add_series(3, 5)
    for path in (single(5), "/series/3/mbox/"):
        server.says(path, NOT_FOUND)
    (found,) = fetch(client, project).values()
    assert isinstance(found, Unstorable)
    assert "does not find its mail (404)" in found.reason


def test_a_patch_that_was_deleted_meanwhile_is_left_to_the_next_round(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """A 404 is no fault of the mail."""
    project.add_series(3, 5)
    for path in (single(5), "/series/3/mbox/"):
        server.says(path, NOT_FOUND)
    server.says("/api/1.3/patches/5/", as_json({"detail": "No Patch matches."}, 404))
    assert fetch(client, project) == {}


def test_a_mail_that_is_too_large_is_quarantined(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Alone, announced or not, or within its series; the reason names the setting."""
    large = b"x" * 2000
    project.add_series(3, 5, 6, bodies={5: large})
    project.add_series(4, 7, bodies={7: large})
    project.add_series(5, 8)
    server.says(single(8), mbox(rendered_mail(8, large), framing="chunks"))
    found = fetch(client, project)
    assert found[6] == parse_mail(rendered_mail(6))
    for number in (5, 7, 8):
        aside = found[number]
        assert isinstance(aside, Unstorable)
        assert "2000 bytes" in aside.reason
        assert "[patchwork] max_mail_bytes" in aside.reason


def test_the_limit_is_the_same_alone_and_within_a_series(
    client: Client, project: FakeProject
) -> None:
    """A mail with just as many bytes as allowed is taken either way."""
    exact = Limits(max_mail_bytes=len(rendered_mail(5)))
    project.add_series(3, 5, 6)
    project.add_series(4, 7)
    assert are_right(fetch(client, project, limits=exact), 5, 6, 7)
    less = dataclasses.replace(exact, max_mail_bytes=exact.max_mail_bytes - 1)
    assert all(
        isinstance(each, Unstorable) for each in fetch(client, project, limits=less).values()
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (rendered_mail(6), "patch 6"),
        (rendered_mail(5, named="<other@example.org>"), "other@example.org"),
        (b"From nobody\n\n", "first line"),
        (b"", "first line"),
    ],
)
def test_what_is_not_the_mail_that_was_listed_is_quarantined(
    client: Client, server: FakeServer, project: FakeProject, content: bytes, why: str
) -> None:
    """With the reason; nothing wrong is ever returned as a mail."""
    project.add_series(3, 5)
    server.says(single(5), mbox(content))
    (found,) = fetch(client, project).values()
    assert isinstance(found, Unstorable)
    assert found.patch_id == 5
    assert why in found.reason


def test_a_mail_that_the_server_cannot_render_is_quarantined(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """If the server knows the patch all the while; the others of its series are not lost."""
    project.add_series(3, 5, 6)
    server.says("/series/3/mbox/", as_html(500))
    server.says(single(5), as_html(500))
    found = fetch(client, project)
    assert found[6] == parse_mail(rendered_mail(6))
    assert isinstance(found[5], Unstorable)
    assert "500" in found[5].reason


def test_a_server_that_fails_for_all_is_no_fault_of_a_mail(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Then nothing is quarantined, and the next round tries again."""
    project.add_series(3, 5)
    server.says(single(5), as_html(500))
    server.says("/api/1.3/patches/5/", as_html(500))
    with pytest.raises(ServerUnavailable):
        fetch(client, project)


def test_a_server_that_fails_to_render_any_mail_has_none_quarantined(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """A broken renderer is the server's trouble, not that of a thousand mails."""
    project.add_series(3, 5)
    project.add_series(4, 6)
    server.says(single(5), as_html(500))
    server.says(single(6), as_html(500))
    with pytest.raises(ServerUnavailable):
        fetch(client, project)


def test_a_batch_does_not_wait_for_a_slow_server() -> None:
    """What is there for a while is given out, few as they may be."""
    times = iter([0.0, 1.0, 11.0, 11.0, 12.0, 13.0, 13.0])
    found = found_of(1, 1, 1)
    sizes = [
        len(batch.mails)
        for batch in all_of(batches(found, 1000, 100, 10, clock=lambda: next(times)))
    ]
    assert sizes == [1, 2]


def test_what_was_found_is_given_out_before_an_error(
    make_client: MakeClient, server: FakeServer, project: FakeProject
) -> None:
    """A server that goes away in between costs what is left, not what was had."""
    client = make_client()
    for number in (5, 6, 7):
        project.add_series(number, number)
    server.says(single(6), as_html(503))
    mails: list[Mail] = []
    entries = listed(client, project)
    with pytest.raises(ServerUnavailable):
        found = fetch_missing(client, "linux", entries, (), LIMITS)
        for batch in all_of(batches(found, 10_000, 100, 60)):
            mails += batch.mails
    assert sorted(mail.patch_id for mail in mails) == [5, 7]


def test_after_an_error_nothing_more_is_asked_for(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """What is under way is finished."""
    for number in range(5, 25):
        project.add_series(number, number)
        server.says(single(number), as_html(503))
    with pytest.raises(ServerUnavailable):
        fetch(client, project, limits=Limits(threads=2))
    assert len({request.path for request in server.asked("/project/")}) <= 3


def test_the_server_is_asked_while_what_was_found_is_handed_on(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Who hands on takes its time; meanwhile the threads go on, but not without end."""
    for number in range(5, 25):
        project.add_series(number, number)
    entries = listed(client, project)
    size = len(rendered_mail(24))
    before = len(server.asked("/project/"))
    limits = Limits(threads=2, batch_bytes=3 * size)
    found = fetch_missing(client, "linux", entries, (), limits)
    first = next(iter(found))
    wait_until(lambda: len(server.asked("/project/")) - before >= 6, "the threads go on")
    time.sleep(0.2)
    # One was taken; what waits is more than a batch by one mail; each thread holds one more.
    assert len(server.asked("/project/")) - before <= 1 + 4 + 2 + 1
    assert len({first.patch_id, *(each.patch_id for each in found)}) == 20


def test_who_takes_no_more_ends_the_downloads(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Such as a task at its limit of time: no thread is left that asks."""
    for number in range(5, 25):
        project.add_series(number, number)
    entries = listed(client, project)
    found = fetch_missing(client, "linux", entries, (), Limits(threads=2, batch_bytes=1))
    next(iter(found))
    found.close()  # type: ignore[attr-defined]
    assert not [each for each in threading.enumerate() if each.name.startswith("download")]
    assert len(server.asked("/project/")) < 20


def test_a_thread_that_cannot_begin_ends_the_others(
    client: Client, server: FakeServer, project: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as where a container may have no more of them: none is left that asks, or waits."""
    for number in range(5, 25):
        project.add_series(number, number)
    entries = listed(client, project)
    start = threading.Thread.start

    def only_one(thread: threading.Thread) -> None:
        if thread.name == "download-1":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="new thread"):
        patch.setattr(threading.Thread, "start", only_one)
        list(fetch_missing(client, "linux", entries, (), Limits(threads=2, batch_bytes=1)))
    assert not [each for each in threading.enumerate() if each.name.startswith("download")]
    assert len(server.asked("/project/")) < 20


def all_of(results: Generator[FetchResult, None, FetchResult]) -> Iterator[FetchResult]:
    """Those that are given out, and the one that is returned."""
    yield (yield from results)


def found_of(*sizes: int) -> list[Found]:
    return [
        Mail(patch_id=n, message_id=message_id(n), date="2019/04/29", content=b"x" * size)
        if size
        else Unstorable(n, "why")
        for n, size in enumerate(sizes, 1)
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), []),
        ((10, 10, 10), [[1, 2], [3]]),
        ((50, 10), [[1], [2]]),
        ((10, 50), [[1], [2]]),
        ((20,), [[1]]),
        ((1, 1, 1, 1), [[1, 2, 3], [4]]),
        ((0, 0, 1, 0), [[1, 2, 3], [4]]),
        ((0, 50), [[1], [2]]),
    ],
)
def test_batches_are_bounded(sizes: tuple[int, ...], expected: list[list[int]]) -> None:
    """By bytes and by number; a mail that is larger than that goes alone."""
    gathered = [
        sorted(each.patch_id for each in (*batch.mails, *batch.quarantined))
        for batch in all_of(batches(found_of(*sizes), max_bytes=20, max_mails=3, max_seconds=60))
    ]
    assert gathered == (expected or [[]])

"""What is written to a Patchwork, once, and what is read back of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from patchwork_fakes import Answer, FakeServer, Patience, RecordingLimiter, as_html, as_json
from pydantic import SecretStr

from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    ForeignProject,
    GoneThere,
    Mistake,
    NoRight,
    NotPatchwork,
    PatchsyncError,
    Refused,
    ServerUnavailable,
)
from patchsync.patchwork import breaker
from patchsync.patchwork.annotator import Annotator, UnsupportedVersion
from patchsync.patchwork.rate_limit import LocalRateLimiter
from patchsync.patchwork.schemas import Check, ListedPatch, PatchView, ProjectEntry, User

TOKEN = "0123456789abcdef"
API = "/api/1.3/"
CHECKS = f"{API}patches/7/checks/"
PATCH = f"{API}patches/7/"
USER = User(id=3, username="pasta")
ACTOR = {"id": 3, "username": "pasta", "email": ""}
PROJECT = {"id": 1, "link_name": "linux"}
CHECK: dict[str, Any] = {
    "id": 11,
    "user": ACTOR,
    "date": "2026-01-01T00:00:00.5",
    "state": "success",
    "context": "pasta",
    "description": "one of two",
    "target_url": None,
}
ENTRY: dict[str, Any] = {
    "id": 7,
    "msgid": "<7@example.org>",
    "project": PROJECT,
    "state": "new",
    "commit_ref": None,
    "archived": False,
    "delegate": {"id": 4, "username": "ada"},
    "related": [{"id": 9}, {"id": 8}],
    "list_archive_url": None,
}
MADE = as_json(CHECK, 201)
CHANGED = as_json(ENTRY)


@pytest.fixture
def make(server: FakeServer) -> Callable[..., Annotator]:
    def make(**how: Any) -> Annotator:
        patience = Patience.with_server(server)
        how = {"limiter": LocalRateLimiter(), "timeout": patience, "sleep": lambda _: None} | how
        return Annotator(server.url, token=SecretStr(TOKEN), **how)

    return make


@pytest.fixture
def annotator(make: Callable[..., Annotator], limiter: RecordingLimiter) -> Annotator:
    """One that knows the API's version already."""
    annotator = make(limiter=limiter)
    assert annotator.api_version
    limiter.waits.clear()
    return annotator


def post(annotator: Annotator) -> Check:
    return annotator.post_check("linux", 7, state="success", context="pasta")


def relate(annotator: Annotator) -> None:
    annotator.relate("linux", 7, (8, 9))


WRITES = [(post, CHECKS, MADE), (relate, PATCH, CHANGED)]


def test_what_is_written_is_sent_with_the_token_and_counted(
    server: FakeServer, annotator: Annotator, limiter: RecordingLimiter
) -> None:
    """As JSON, through the limiter, for the project."""
    server.says(CHECKS, MADE)
    server.says(PATCH, CHANGED)
    made = annotator.post_check(
        "linux", 7, state="fail", context="pasta", description="x", target_url="https://x.org/"
    )
    assert made == Check(
        id=11, user_id=3, state="success", context="pasta", description="one of two", target_url=""
    )
    post(annotator)
    relate(annotator)
    annotator.relate("linux", 7, ())
    annotator.set_state("linux", 7, "accepted", "1a2b")
    annotator.set_state("linux", 7, "superseded")
    sent = [(r.method, json.loads(r.body)) for r in server.asked(PATCH)]
    fail = {"state": "fail", "context": "pasta", "description": "x", "target_url": "https://x.org/"}
    assert sent == [
        ("POST", fail),
        ("POST", {"state": "success", "context": "pasta"}),
        ("PATCH", {"related": [8, 9]}),
        ("PATCH", {"related": []}),
        ("PATCH", {"state": "accepted", "commit_ref": "1a2b"}),
        ("PATCH", {"state": "superseded"}),
    ]
    for request in server.asked(PATCH):
        assert request.headers["Authorization"] == f"Token {TOKEN}"
        assert request.headers["Content-Type"] == "application/json"
    assert limiter.waits == ["linux"] * 6


LOST = {
    "hanging": Answer(hang=True),
    "cut": Answer(201, MADE.body, MADE.headers, cut_at=20),
    "cut chunk": Answer(201, MADE.body * 3, MADE.headers, framing="chunks", cut_at=150),
    "cut without a length": Answer(201, MADE.body, MADE.headers, framing="close", cut_at=20),
    "nothing": Answer(201, MADE.body, MADE.headers, cut_at=0),
    "too large": Answer(201, b"", {"Content-Length": "99999999999"}, framing="close"),
    "two lengths": Answer(201, MADE.body, MADE.headers | {"Content-Length": "1"}),
    "not readable": as_html(201),
    **{str(status): as_html(status) for status in (408, 500, 502, 503, 504, 520)},
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
@pytest.mark.parametrize(("write", "path", "good"), WRITES, ids=["POST", "PATCH"])
def test_a_write_without_an_answer_is_lost_and_not_repeated(
    server: FakeServer,
    annotator: Annotator,
    write: Callable[[Annotator], object],
    path: str,
    good: Answer,
    fault: Answer,
) -> None:
    """Each check that is sent is one more, so whether it is there must be looked for first."""
    if good.status == 200 and fault.status == 201:
        fault = Answer(**{**vars(fault), "status": 200})
    server.says(path, fault, good)
    with pytest.raises(AnswerLost, match=path):
        write(annotator)
    assert len(server.asked(path)) == 1


def test_a_lost_answer_stays_one_where_the_limiter_is_lost_too(
    server: FakeServer, make: Callable[..., Annotator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That Redis is away must not look as if nothing had been sent."""

    class Gone(LocalRateLimiter):
        def hold(self, seconds: float, why: str, *, by_server: bool = True) -> None:
            raise ServerUnavailable("no request without Redis")

    monkeypatch.setattr(breaker, "CALLS", 1)
    annotator = make(limiter=Gone())
    server.says(CHECKS, Answer(503, headers={"Retry-After": "7"}), Answer(hang=True))
    for _ in range(2):
        with pytest.raises(AnswerLost):
            post(annotator)


def test_what_was_not_sent_was_not_written(server: FakeServer, annotator: Annotator) -> None:
    """Nobody listens there: it is no lost answer, and may be sent again."""
    annotator.close()
    server.shutdown()
    server.server_close()
    with pytest.raises(ServerUnavailable):
        post(annotator)


def test_nothing_was_written_where_the_proxy_is_away(
    make: Callable[..., Annotator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is between us and the server, so that one saw nothing."""
    annotator = make()
    assert annotator.api_version
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    annotator.close()  # It is looked up with the connections that are opened next.
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(ServerUnavailable):
        post(annotator)


def test_a_write_that_was_turned_away_unread_holds_the_fleet(
    server: FakeServer, annotator: Annotator, limiter: RecordingLimiter
) -> None:
    """429: for as long as the server asks for; nothing was written."""
    server.says(CHECKS, Answer(429, headers={"Retry-After": "7"}), MADE)
    with pytest.raises(ServerUnavailable) as unavailable:
        post(annotator)
    assert (unavailable.value.retry_after, limiter.holds) == (7, [7])
    assert len(server.asked(CHECKS)) == 1


def test_no_write_is_sent_during_a_hold(server: FakeServer, make: Callable[..., Annotator]) -> None:
    """Nor an open breaker: then nothing is sent."""
    limiter = LocalRateLimiter(patience=1)
    annotator = make(limiter=limiter)
    assert annotator.api_version
    limiter.hold(60, "the breaker is open")
    with pytest.raises(ServerUnavailable, match="the breaker is open"):
        post(annotator)
    assert server.asked(CHECKS) == []


def test_lost_writes_open_the_breaker_and_an_answer_closes_it(
    server: FakeServer, annotator: Annotator, limiter: RecordingLimiter
) -> None:
    """A server that does not answer is left alone, whatever is asked of it."""
    bad = as_html(502)
    server.says(CHECKS, bad, bad, MADE, bad)
    for _ in range(2):
        with pytest.raises(AnswerLost):
            post(annotator)
    assert limiter.holds == [5]
    post(annotator)
    with pytest.raises(AnswerLost):
        post(annotator)
    assert limiter.holds == [5]


REFUSALS = [
    (400, {"target_url": ["Enter a valid URL."]}, Mistake, "target_url: Enter a valid URL"),
    (403, {"detail": "You do not have permission to perform this action."}, NoRight, ": You do"),
    (403, {"detail": "At least one patch is part of a project"}, NoRight, ": At least one"),
    (404, {"detail": "No Patch matches."}, GoneThere, "404: No Patch"),
    (410, {"detail": "Gone."}, GoneThere, "410: Gone"),
    (409, {"detail": "Already part of another relation."}, ChangedThere, "409: Already"),
    (403, {"detail": "Invalid token."}, Refused, "403: Invalid token"),
    (403, {"detail": "Authentication credentials were not provided."}, Refused, "credentials"),
    (401, {"detail": f"I dislike {TOKEN}"}, Refused, r"I dislike \[token\]"),
]


@pytest.mark.parametrize(("status", "body", "kind", "text"), REFUSALS)
def test_refusals_are_told_apart(
    server: FakeServer,
    annotator: Annotator,
    status: int,
    body: object,
    kind: type[PatchsyncError],
    text: str,
) -> None:
    """What is wrong with one patch from what is wrong with the token; in the server's words."""
    for write, path, _ in WRITES:
        server.says(path, as_json(body, status))
        with pytest.raises(kind, match=text) as refused:
            write(annotator)
        assert type(refused.value) is kind
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("answer", [as_html(404), as_html(403), as_html(200), as_json({}, 405)])
def test_what_is_no_answer_of_patchworks_is_no_refusal_of_it(
    server: FakeServer, annotator: Annotator, answer: Answer
) -> None:
    """An error page in front of it says nothing about a patch."""
    server.says(CHECKS, answer)
    with pytest.raises(NotPatchwork):
        post(annotator)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_write_follows_no_redirect(server: FakeServer, annotator: Annotator, status: int) -> None:
    """What it held is lost on the way; the url to set is named."""
    for write, path, _ in WRITES:
        server.says(path, Answer(status, headers={"Location": "/elsewhere/"}))
        with pytest.raises(
            NotPatchwork, match=r"elsewhere/'; if that is where .* set it as the url"
        ):
            write(annotator)
    assert server.asked("/elsewhere/") == []


def test_the_newest_check_is_asked_for_by_one_request(
    server: FakeServer, annotator: Annotator
) -> None:
    """Of this user and context; none, or a patch that is gone, are told apart."""
    gone = as_json({"detail": "No Patch matches."}, 404)
    server.says(CHECKS, as_json([CHECK]), as_json([]), gone)
    found = annotator.newest_check("linux", 7, 3, "pasta")
    assert found is not None
    assert (found.id, found.description) == (11, "one of two")
    query = "?user=3&context=pasta&order=-id&per_page=1"
    assert server.requests[-1].path == CHECKS + query
    assert annotator.newest_check("linux", 7, 3, "pasta") is None
    with pytest.raises(GoneThere):
        annotator.newest_check("linux", 7, 3, "pasta")


@pytest.mark.parametrize(
    "listed",
    [[CHECK | {"user": {"id": 4, "username": "ada"}}], [CHECK | {"context": "ci"}], [CHECK] * 2],
)
def test_filters_that_the_server_ignores_are_found_out(
    server: FakeServer, annotator: Annotator, listed: list[object]
) -> None:
    """Else another's check would count as ours."""
    server.says(CHECKS, as_json(listed))
    with pytest.raises(NotPatchwork, match="asked for one check"):
        annotator.newest_check("linux", 7, 3, "pasta")


def test_what_became_of_a_patch(server: FakeServer, annotator: Annotator) -> None:
    """One that is gone is none; one of another project says so."""
    server.says(PATCH, CHANGED, as_json({"detail": "No Patch matches."}, 404))
    assert annotator.view("linux", 7) == PatchView(
        id=7,
        project_id=1,
        project_link_name="linux",
        state="new",
        archived=False,
        delegate="ada",
        commit_ref=None,
        related=(8, 9),
    )
    assert annotator.view("linux", 7) is None


def test_all_that_is_shown_of_patches_is_handed_on(
    server: FakeServer, make: Callable[..., Annotator]
) -> None:
    """What a write answers, too: it is the newest."""
    shown: list[tuple[int, str | None]] = []
    asked_at: list[float] = []

    def note(listed: Sequence[ListedPatch], at: float) -> None:
        shown.extend((patch.id, patch.shown.state) for patch in listed)
        asked_at.append(at)

    annotator = make(on_listed=note)
    gone = as_json({"detail": "No Patch matches."}, 404)
    server.says(PATCH, CHANGED, as_json(ENTRY | {"state": "accepted"}), gone)
    server.says(f"{API}patches/", as_json([ENTRY, ENTRY | {"id": 8}]))
    before = time.time()
    annotator.view("linux", 7)
    annotator.set_state("linux", 7, "accepted")
    annotator.list_views("linux", 1)
    assert annotator.view("linux", 7) is None
    assert shown == [(7, "new"), (7, "accepted"), (7, "new"), (8, "new")]
    assert asked_at == sorted(asked_at)
    assert before <= asked_at[0] <= asked_at[-1] <= time.time()


def test_the_audit_reads_pages_of_250(server: FakeServer, annotator: Annotator) -> None:
    """By id; past the end there is none; another project's patch is never taken for ours."""
    gone = as_json({"detail": "Invalid page."}, 404)
    server.says(f"{API}patches/", as_json([ENTRY]), gone, CHANGED, as_json([ENTRY]))
    assert [view.related for view in annotator.list_views("Linux", 3)] == [(8, 9)]
    assert server.requests[-1].path.endswith("?project=Linux&order=id&per_page=250&page=3")
    assert annotator.list_views("linux", 4) == ()
    with pytest.raises(NotPatchwork, match="a list of patches"):
        annotator.list_views("linux", 1)
    with pytest.raises(ForeignProject):
        annotator.list_views("other", 1)


def test_who_we_are(server: FakeServer, annotator: Annotator) -> None:
    """The maintainer to whom the server shows settings; the token goes nowhere else."""
    ada = {"id": 4, "username": "ada"}
    project = ProjectEntry(
        id=1,
        link_name="linux",
        list_email="",
        list_id="",
        maintainers=(User(**ada), USER),
    )
    server.says(f"{API}users/4/", as_json(ada))
    server.says(
        f"{API}users/3/", as_json(ACTOR | {"settings": {"show_ids": False}}), as_json(ACTOR)
    )
    assert annotator.me(project) == USER
    sent = [(r.path, r.headers.get("Authorization")) for r in server.requests[2:]]
    assert sent == [(f"{API}users/4/", f"Token {TOKEN}"), (f"{API}users/3/", f"Token {TOKEN}")]
    with pytest.raises(Refused, match=r"does not maintain the project 'linux'.*ada, pasta"):
        annotator.me(project)
    with pytest.raises(Refused, match=r"\(nobody does\)"):
        annotator.me(replace(project, maintainers=()))


def test_a_patchwork_without_relations_is_told_so(
    server: FakeServer, make: Callable[..., Annotator]
) -> None:
    """Before anything is written."""
    server.says(f"{API}", as_json({}, 404))
    server.says("/api/1.1/", as_json({"projects": "", "patches": ""}))
    with pytest.raises(UnsupportedVersion, match=r"API 1\.1; .* 1\.2"):
        relate(make())


def check_event(number: int, patch_id: int, actor: object = ACTOR, **check: Any) -> dict[str, Any]:
    return {
        "id": number,
        "category": "check-created",
        "project": PROJECT,
        "date": "2026-01-01T00:00:00",
        "actor": actor,
        "payload": {
            "patch": {"id": patch_id, "msgid": ""},
            "check": {"id": number, "state": "success", "context": "pasta", "target_url": None}
            | check,
        },
    }


def test_own_checks_are_read_from_the_events(server: FakeServer, annotator: Annotator) -> None:
    """Each patch and context, of all pages; not another's, whatever the server's filter lets by."""
    first = [check_event(1, 7), check_event(2, 8), check_event(9, 9, None)]
    second = [check_event(4, 7), check_event(5, 7, context="b")]
    query = f"{API}events/?category=check-created&actor=3&project=linux&order=date&per_page=250"
    server.says(f"{query}&page=1", as_json(first, Link='<http://x/?page=2>; rel="next"'))
    server.says(f"{query}&page=2", as_json(second, Link='<http://x/>; rel="first"'))
    assert annotator.own_checks("linux", USER) == {(7, "pasta"), (8, "pasta"), (7, "b")}


def test_own_states_are_the_last_that_were_set(server: FakeServer, annotator: Annotator) -> None:
    """By us, and of those that we set; by their ids, for dates may be out of order."""
    events = [
        {
            "id": number,
            "project": PROJECT,
            "date": "2026-01-01T00:00:00",
            "actor": actor,
            "payload": {"patch": {"id": patch_id}, "current_state": state},
        }
        for number, patch_id, actor, state in (
            (5, 7, ACTOR, "accepted"),
            (4, 7, ACTOR, "superseded"),
            (6, 7, ACTOR, "rejected"),
            (7, 7, None, "superseded"),
            (8, 8, None, "accepted"),
            (9, 9, ACTOR, "superseded"),
        )
    ]
    server.says(f"{API}events/", as_json(events, Link='<http://x/>; rel="first"'))
    ours = annotator.own_states("linux", USER, ("accepted", "superseded"))
    assert ours == {7: "accepted", 9: "superseded"}
    query = "?category=patch-state-changed&actor=3&project=linux&order=date&per_page=250&page=1"
    assert server.requests[-1].path == f"{API}events/{query}"


def test_events_are_read_to_their_end_without_links(
    server: FakeServer, annotator: Annotator
) -> None:
    """Something in front of the server may take them off; the page past the end is a 404."""
    end = as_json({"detail": "Invalid page."}, 404)
    pages = [as_json([check_event(1, 7)]), as_json([check_event(2, 8)]), end]
    server.says(f"{API}events/", *pages)
    assert len(annotator.own_checks("linux", USER)) == 2
    with pytest.raises(NotPatchwork, match="events"):
        annotator.own_checks("linux", USER)
    server.says(f"{API}events/", as_json([check_event(1, 7)]))
    with pytest.raises(ForeignProject):
        annotator.own_checks("other", USER)


def test_relation_events_are_everybodys_and_the_newest_of_each_patch(
    server: FakeServer, annotator: Annotator
) -> None:
    """By their ids: dates may be equal, or out of order."""
    events = [
        {
            "id": number,
            "project": PROJECT,
            "date": "2026-01-01T00:00:00.000001",
            "actor": actor,
            "payload": {"patch": {"id": patch_id}, "previous_relation": None},
        }
        for number, patch_id, actor in ((1, 7, ACTOR), (3, 8, None), (2, 8, ACTOR))
    ]
    server.says(f"{API}events/", as_json(events, Link='<http://x/>; rel="first"'))
    found = annotator.relation_events("linux")
    assert {i: (event.id, event.actor_id) for i, event in found.items()} == {
        7: (1, 3),
        8: (3, None),
    }
    del events[0]["actor"]
    server.says(f"{API}events/", as_json(events))
    with pytest.raises(NotPatchwork, match="actor"):
        annotator.relation_events("linux")

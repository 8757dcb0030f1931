"""How the client behaves as a guest, and what it does when the server does not."""

from __future__ import annotations

import email.utils
import time
import traceback
from pathlib import Path

import pytest
from patchwork_fakes import (
    REFUSED,
    Answer,
    FakeServer,
    MakeClient,
    RecordingLimiter,
    as_html,
    as_json,
    mbox,
)
from pydantic import SecretStr

from patchsync.errors import (
    ConfigError,
    NotPatchwork,
    PatchsyncError,
    Refused,
    ServerUnavailable,
    UnknownProject,
)
from patchsync.patchwork import http_deadline
from patchsync.patchwork.client import Client
from patchsync.patchwork.http import ServerFailed
from patchsync.patchwork.rate_limit import LocalRateLimiter
from patchsync.patchwork.schemas import ProjectEntry

PATH = "/series/3/mbox/"
JSON = {"Content-Type": "application/json"}
GOOD = mbox(b"x" * 1000)
TOKEN = "0123456789abcdef"


def get(client: Client) -> bytes | None:
    return client.mbox("linux", PATH, 10_000)


PASSING = {
    "429": as_html(429),
    "500": as_html(500),
    "502": as_html(502),
    "503": as_html(503),
    "504": as_html(504),
    "cut": mbox(GOOD.body, cut_at=500),
    "cut chunk": mbox(GOOD.body, framing="chunks", cut_at=150),
    "cut between chunks": mbox(GOOD.body, framing="chunks", cut_at=2 * (4 + 100 + 2)),
    "nothing": mbox(GOOD.body, cut_at=0),
    "hanging": Answer(hang=True),
    "undecodable": Answer(200, b"plain", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_by_itself_is_tried_again(
    server: FakeServer, client: Client, fault: Answer
) -> None:
    """A fault here and there delays an answer and never changes it."""
    server.says(PATH, fault, fault, GOOD)
    assert get(client) == GOOD.body


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_answer_that_drips_in_is_not_waited_for(
    server: FakeServer, client: Client, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    """Each drop comes within the read timeout; the whole would take ten seconds."""
    monkeypatch.setattr(http_deadline, "ANSWER_SECONDS", 0.03)
    server.says(PATH, mbox(GOOD.body, framing=framing, drip=True))
    with pytest.raises(ServerUnavailable, match="after"):
        get(client)


DRIPPING_HEADS = {
    "a header": Answer(200, GOOD.body, {"X-Padding": "a" * 1000}, drip_head=True),
    "many headers": Answer(200, GOOD.body, {f"X-{n}": "a" for n in range(90)}, drip_head=True),
    "100 Continue": Answer(200, GOOD.body, before=b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
}


@pytest.mark.parametrize("answer", DRIPPING_HEADS.values(), ids=DRIPPING_HEADS)
def test_headers_that_drip_in_are_not_waited_for(
    server: FakeServer, client: Client, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """Nothing of requests or urllib3 ends them: here they would take ten seconds."""
    monkeypatch.setattr(http_deadline, "ANSWER_SECONDS", 0.03)
    server.says(PATH, answer)
    with pytest.raises(ServerUnavailable, match="the answer is not there after"):
        get(client)


@pytest.mark.parametrize("fault", ["429", "500", "502", "cut", "cut chunk"])
def test_what_lasts_ends_the_call(
    server: FakeServer, client: Client, limiter: RecordingLimiter, fault: str
) -> None:
    """After four attempts, each of which passed the limiter; the next round tries again."""
    server.says(PATH, PASSING[fault])
    with pytest.raises(ServerUnavailable, match=PATH):
        get(client)
    assert len(server.requests) == 4
    assert limiter.waits == ["linux"] * 4


def test_a_server_that_fails_is_told_from_one_that_is_away(
    server: FakeServer, client: Client, limiter: RecordingLimiter
) -> None:
    """A 500 may be about this one mail, whichever way it is asked for: it opens no breaker."""
    server.says(PATH, as_html(500))
    for _ in range(8):
        with pytest.raises(ServerFailed):
            get(client)
    assert limiter.holds == []


def test_a_server_that_fails_at_all_it_is_asked_opens_the_breaker_too(
    server: FakeServer, client: Client, limiter: RecordingLimiter
) -> None:
    """Twelve calls in a row are no single mail; and an answer in between begins the row anew."""
    bad = [as_html(500)] * 4
    server.says(PATH, *bad * 11, GOOD, *bad * 13, GOOD)
    for _ in range(11):
        with pytest.raises(ServerFailed):
            get(client)
    get(client)
    assert limiter.holds == []
    for _ in range(13):
        with pytest.raises(ServerFailed):
            get(client)
    assert limiter.holds == [5, 10]
    assert "13 calls in a row failed" in limiter.reasons[-1]


def test_a_server_that_is_away(client: Client, server: FakeServer) -> None:
    """Nobody listens: it may be back later."""
    server.server_close()
    with pytest.raises(ServerUnavailable):
        get(client)


def test_a_retry_after_holds_the_fleet(
    server: FakeServer, client: Client, limiter: RecordingLimiter
) -> None:
    """In seconds or as a date; then all wait, not only this request."""
    date = email.utils.formatdate(time.time() + 500, usegmt=True)
    server.says(
        PATH,
        Answer(429, headers={"Retry-After": "7"}),
        Answer(503, headers={"Retry-After": date}),
        Answer(503, headers={"Retry-After": "soon"}),
        GOOD,
    )
    assert get(client) == GOOD.body
    assert limiter.holds == [7, pytest.approx(500, abs=60)]
    assert limiter.reasons[0] == (
        f"{server.url} asks to be left alone (status 429, Retry-After: 7 s)"
    )


THIRTY_YEARS = 1e9
FAR = {
    "9999999999999999": THIRTY_YEARS,
    "9" * 10_000: THIRTY_YEARS,
    "-5": None,
    "1e9": None,
    "nan": None,
    "inf": None,
    "": None,
    "Fri, 31 Dec 9999 23:59:59 GMT": THIRTY_YEARS,
    "Fri, 31 Dec 9999 23:59:59 -2359": THIRTY_YEARS,
    "Fri, 31 Dec 9999 23:59:59": THIRTY_YEARS,
    "Mon, 01 Jan 0001 00:00:00 +2359": 0,
    "Fri, 31 Dec 1000000000 23:59:59 GMT": None,
    "Fri, 31 Dec 99999999999999999999 23:59:59 GMT": None,
    f"Fri, 31 Dec {'9' * 5000} 23:59:59 GMT": None,
    "Fri, 31 Dec 2026 23:59:59 +99999999999999": None,
    "Fri, 31 Dec -1 23:59:59 GMT": None,
}


@pytest.mark.parametrize("value", FAR, ids=lambda value: value[:45])
def test_a_retry_after_of_any_size_is_an_answer_like_others(
    server: FakeServer, client: Client, limiter: RecordingLimiter, value: str
) -> None:
    """Whatever it says, the call ends with an error of ours."""
    server.says(PATH, Answer(503, headers={"Retry-After": value}))
    with pytest.raises(ServerUnavailable) as unavailable:
        get(client)
    assert unavailable.value.retry_after == FAR[value]
    assert limiter.holds[:4] == ([] if FAR[value] is None else [FAR[value]] * 4)


WORDS = {
    "nested": b"[" * 60_000,
    "nested objects": b'{"a":' * 10_000,
    "nested and closed": b"[" * 900 + b"]" * 900,
    "a number": b"9" * 60_000,
    "surrogates": b'{"detail": "\\ud800"}',
    "no number": b"NaN",
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
@pytest.mark.parametrize("body", WORDS.values(), ids=WORDS)
def test_json_of_any_form_is_an_answer_like_others(
    server: FakeServer, client: Client, status: int, body: bytes
) -> None:
    """As an answer or as an error: what is raised is of our family, and can be printed."""
    server.says("/api/1.3/projects/linux/", Answer(status, body, JSON))
    with pytest.raises(PatchsyncError) as raised:
        client.project("linux")
    assert str(raised.value).encode()


LONG_LINES = {
    # Python takes quadratic time for it.
    "header": Answer(200, GOOD.body, {"Content-Type": 'multipart/mixed; a="' + ";" * 60_000}),
    # urllib3 reads it to its end.
    "chunk": Answer(200, b"1" * 60_000, {"Transfer-Encoding": "chunked"}, framing="close"),
}


@pytest.mark.parametrize("answer", LONG_LINES.values(), ids=LONG_LINES)
def test_a_line_is_not_read_where_it_is_longer_than_any(
    server: FakeServer, client: Client, answer: Answer
) -> None:
    """Neither of the head nor the size of a chunk."""
    server.says(PATH, answer)
    with pytest.raises(ServerUnavailable, match="a line of its head"):
        get(client)


def test_a_length_of_any_size_is_an_answer_like_others(server: FakeServer, client: Client) -> None:
    """Python refuses to read a number of 5000 digits."""
    server.says(PATH, Answer(200, b"", {"Content-Length": "9" * 5000}, framing="close"))
    with pytest.raises(PatchsyncError):
        get(client)


def test_a_long_retry_after_ends_the_call(server: FakeServer, make_client: MakeClient) -> None:
    """And says for how long; no further request is sent."""
    client = make_client(limiter=LocalRateLimiter(patience=1))
    server.says(PATH, Answer(429, headers={"Retry-After": "3600"}))
    with pytest.raises(ServerUnavailable) as unavailable:
        get(client)
    assert unavailable.value.retry_after == pytest.approx(3600, abs=60)
    assert len(server.requests) == 1


def test_the_breaker_opens_for_longer_each_time(
    server: FakeServer, client: Client, limiter: RecordingLimiter
) -> None:
    """A server that does not answer is left alone; the first answer closes it again."""
    bad = [as_html(503)] * 4
    server.says(PATH, *bad, *bad, *bad, GOOD, *bad, *bad)
    for _ in range(3):
        with pytest.raises(ServerUnavailable):
            get(client)
    assert limiter.holds == [5, 10]
    assert limiter.reasons[0] == (
        f"the breaker is open, 2 calls in a row failed, the last: {server.url}{PATH}: status 503"
    )
    get(client)
    with pytest.raises(ServerUnavailable):
        get(client)
    assert limiter.holds == [5, 10]


def test_a_guest_says_who_it_is(server: FakeServer, make_client: MakeClient) -> None:
    """With its version, and a way to reach whoever runs it where that is set."""
    server.says(PATH, GOOD)
    get(make_client(contact="ada@example.org"))
    get(make_client())
    agents = [request.headers["User-Agent"] for request in server.requests]
    assert agents == [f"{agents[1]} (+ada@example.org)", agents[1]]
    assert agents[1].startswith("patchsync/")


@pytest.mark.parametrize("contact", ["two\nlines", "zo\u00eb@example.org"])
def test_a_contact_fits_a_header(make_client: MakeClient, contact: str) -> None:
    """Else each request would fail, with a message that explains nothing."""
    with pytest.raises(ConfigError, match="contact"):
        make_client(contact=contact)


def test_no_cookie_is_kept(server: FakeServer, client: Client) -> None:
    """Threads share the session, and a guest needs none."""
    server.says(PATH, mbox_with_cookie())
    get(client)
    get(client)
    assert "Cookie" not in server.requests[1].headers


def mbox_with_cookie() -> Answer:
    return Answer(200, b"x", {"Content-Type": "text/plain", "Set-Cookie": "a=b; Path=/"})


def test_reading_carries_no_token(server: FakeServer, make_client: MakeClient) -> None:
    """Patchwork's GETs need none, so it is not sent about."""
    server.says(PATH, GOOD)
    client = make_client(token=TOKEN)
    assert client.api_version
    get(client)
    assert all("Authorization" not in request.headers for request in server.requests)


def test_the_token_is_tried_where_only_users_may_look(
    server: FakeServer, make_client: MakeClient
) -> None:
    """A wrong one is refused there in the server's words."""
    server.says("/api/1.3/users/", as_json([{"id": 4, "username": "ada"}]), REFUSED)
    client = make_client(token=TOKEN)
    client.verify_token()
    assert server.requests[-1].headers["Authorization"] == f"Token {TOKEN}"
    with pytest.raises(Refused, match=r"Invalid token; see"):
        client.verify_token()
    server.says("/api/1.3/users/", as_json({"detail": "Not found."}, 404))
    with pytest.raises(NotPatchwork):
        client.verify_token()


def test_who_maintains_a_project_may_change_it(server: FakeServer, make_client: MakeClient) -> None:
    """Patchwork says so without anything being changed."""
    may, may_not = as_json({"name": "x", "actions": {"PUT": {"id": {}}}}), as_json({"name": "x"})
    gone = as_json({"detail": "No Project matches."}, 404)
    server.says("/api/1.3/projects/1/", may, may_not, as_json([]), gone, REFUSED)
    client = make_client(token=TOKEN)
    project = ProjectEntry(id=1, link_name="x", list_email="", list_id="", maintainers=())
    assert client.maintains(project)
    assert server.requests[-1].method == "OPTIONS"
    assert server.requests[-1].headers["Authorization"] == f"Token {TOKEN}"
    assert not client.maintains(project)
    for wrong in (NotPatchwork, UnknownProject, Refused):
        with pytest.raises(wrong):
            client.maintains(project)


def test_the_token_follows_no_redirect(server: FakeServer, make_client: MakeClient) -> None:
    """Not even within the server."""
    client = make_client(token=TOKEN)
    server.says("/api/1.3/users/", Answer(302, headers={"Location": "/elsewhere/"}))
    with pytest.raises(NotPatchwork, match="elsewhere"):
        client.verify_token()
    assert server.asked("/elsewhere/") == []


def test_no_password_of_the_users_is_sent(
    server: FakeServer,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """requests would look for one in ~/.netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.says(PATH, GOOD)
    server.says("/api/1.3/users/", as_json([]))
    get(client)
    client.verify_token()
    assert all("Authorization" not in request.headers for request in server.requests)


def test_a_proxy_from_the_environment_is_used(
    server: FakeServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many a machine has no other way out."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.says("http://patchwork.example.org/series/3/mbox/", GOOD)
    assert get(make_client("http://patchwork.example.org")) == GOOD.body


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"detail": f"no such token: {TOKEN}"}, 403),
        as_html(500),
        as_html(200),
        Answer(200, b"{", {"Content-Length": "9"}, cut_at=0),
        Answer(302, headers={"Location": "http://evil.example/"}),
        Answer(hang=True),
    ],
)
def test_the_token_shows_nowhere(
    server: FakeServer, make_client: MakeClient, answer: Answer
) -> None:
    """Not in a message, not in what caused it, not in what is printed of the client."""
    client = make_client(token=TOKEN)
    assert client.api_version
    server.says("/api/1.3/users/", answer)
    with pytest.raises(PatchsyncError) as failed:
        client.verify_token()
    assert TOKEN not in all_that_shows(failed.value) + repr(vars(client))


def test_the_token_does_not_show_where_nothing_can_be_asked(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests' own errors carry the request with its headers."""
    client = make_client(token=TOKEN)
    assert client.api_version
    monkeypatch.setenv("http_proxy", "socks9://127.0.0.1:1")
    client.close()  # It is looked up with the connections that are opened next.
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(NotPatchwork, match="asked") as failed:
        client.verify_token()
    assert TOKEN not in all_that_shows(failed.value)


def all_that_shows(error: BaseException | None) -> str:
    """What a log, a traceback or a curious tool could print of an error and of what caused it."""
    shown = traceback.format_exception(error)
    while error is not None:
        request = getattr(error, "request", None)
        shown += [repr(error), repr(vars(error)), repr(getattr(request, "headers", ""))]
        error = error.__cause__ or error.__context__
    return " ".join(shown)


@pytest.mark.parametrize("token", ["line\nbreak", " space", "zo\u00eb"])
def test_a_token_that_fits_no_header_is_not_repeated(server: FakeServer, token: str) -> None:
    """requests would show it in its complaint."""
    with pytest.raises(ConfigError) as refused:
        Client(server.url, LocalRateLimiter(), token=SecretStr(token))
    assert token not in str(refused.value)

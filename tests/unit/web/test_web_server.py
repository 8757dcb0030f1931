"""The HTTP side of the pages: what is taken, what is refused, and what one request may cost."""

from __future__ import annotations

import json
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from patchsync.config import Config
from patchsync.web import server
from patchsync.web.headers import DRAWING_POLICY, PAGE_POLICY, SECURITY_HEADERS
from tests.support.installation import wait_until
from tests.unit.web.conftest import configuration, serving
from tests.unit.web.web_fakes import FAKE_WORKER, Pages

ADDRESSES = ["/", "/health", "/nosuch", "/r/a@b", "/r/%00", "/static/style.css", "/static/nosuch"]


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_answer_is_safe(pages: Pages, path: str, method: str) -> None:
    """Errors too: no script, no frame, no guessing of types, no cookie."""
    headers = pages.ask(path, method).headers
    for name, value in SECURITY_HEADERS.items():
        assert headers.get_all(name) == [value]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; ")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Set-Cookie" not in headers
    assert "Tornado" not in str(headers)


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_nothing_but_get_and_head(pages: Pages, path: str, method: str) -> None:
    """405, with what is allowed."""
    reply = pages.ask(path, method)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert "only show" in reply.text


@pytest.mark.parametrize("path", ADDRESSES)
def test_head_is_get_without_the_body(pages: Pages, path: str) -> None:
    """The same status and headers, the length of the body too."""
    get, head = pages.ask(path), pages.ask(path, "HEAD")
    assert head.body == b""
    assert get.status == head.status
    for headers in (get.headers, head.headers):
        del headers["Date"]
    assert get.headers.items() == head.headers.items()
    assert int(get.headers["Content-Length"]) == len(get.body) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nosuch", 404),
        ("/../../etc/passwd", 404),
        ("/static/../server.py", 404),
        ("/static/%2e%2e/server.py", 404),
        ("/static/..%2fserver.py", 404),
        ("/p/%2e%2e", 200),  # a name as any other: the page knows no such project
        ("/r/%00", 400),
        ("/r/a%0d%0aSet-Cookie:x", 400),
        ("/r/%ff%fe", 400),
        ("/r/" + "a" * 8192, 400),
        ("/r/a@b?x=%00", 400),
        ("/r/a@b?" + "x" * 3000, 400),
        ("/r/a@b?" + "=1&".join("abcdefghijklmnopqrstuvwxyz"), 400),
        ("/r/a@b?x=%ff", 400),
    ],
)
def test_hostile_addresses(pages: Pages, path: str, status: int) -> None:
    """Each gets a page of ours, that echoes nothing."""
    reply = pages.ask(path)
    assert reply.status == status
    if status != 200:
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<h1>" in reply.text
        assert "Traceback" not in reply.text and "passwd" not in reply.text
        assert "Etag" not in reply.headers or reply.status == 200


def test_headers_without_end(pages: Pages) -> None:
    """The connection is closed, and the server goes on."""
    with socket.create_connection(("127.0.0.1", pages.port), timeout=60) as client:
        client.sendall(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answered = b""
        try:
            while piece := client.recv(65536):
                answered += piece
        except ConnectionError:
            pass
    assert b"200" not in answered[:20]
    assert pages.ask("/health").status == 200


def test_what_is_asked_reaches_the_page(pages: Pages) -> None:
    """Names unquoted, the format, and the query."""
    asked = json.loads(
        pages.ask("/diff/a%2Fb%2525@x/%3C%22%3E@y.json?search=%C3%A4+b&before=").text
    )
    assert asked == {
        "page": "diff:page",
        "names": {"left": "a/b%25@x", "right": '<">@y'},
        "format": "json",
        "query": {"search": "ä b"},
    }


def test_a_page_that_did_not_change(pages: Pages) -> None:
    """304 with the same headers, before any work; another address has another tag."""
    first = pages.ask("/r/a@b")
    etag = first.headers["Etag"]
    again = pages.ask("/r/a@b", If_None_Match=f'"x", {etag}')
    assert (again.status, again.body, again.headers["Etag"]) == (304, b"", etag)
    assert again.headers["Content-Security-Policy"]
    assert pages.ask("/r/a@b?x=1", If_None_Match=etag).status == 200
    assert pages.ask("/r/b@b", If_None_Match=etag).status == 200
    # What would take for ever is not even begun.
    slow = pages.ask("/r/slow@x", If_None_Match="*")
    assert slow.status == 304


def test_a_drawing_has_the_policy_of_drawings(pages: Pages) -> None:
    """Which lets it have its own style, and no more; also where it did not change."""
    drawing = pages.ask("/chart/some.svg")
    again = pages.ask("/chart/some.svg", If_None_Match=drawing.headers["Etag"])
    assert (drawing.status, again.status) == (200, 304)
    for reply in (drawing, again):
        assert reply.headers.get_all("Content-Security-Policy") == [DRAWING_POLICY]
    assert pages.ask("/chart/dies@x.svg").headers["Content-Security-Policy"] == PAGE_POLICY


def test_the_style_did_not_change(pages: Pages) -> None:
    """Static files have a tag of their content."""
    style = pages.ask("/static/style.css")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert pages.ask("/static/style.css", If_None_Match=style.headers["Etag"]).status == 304


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5556", "x[", "<script>"])
def test_a_name_that_is_not_ours(pages: Pages, host: str) -> None:
    """A foreign page cannot have its own name lead here; the name is never repeated."""
    reply = pages.ask("/", Host=host)
    assert reply.status in (400, 421)
    assert "evil" not in reply.text + str(reply.headers) and "<script" not in reply.text


def test_our_names(tmp_path: Path) -> None:
    """Addresses, localhost and that of `[web] url`; pages lie below its path too."""
    config = configuration(tmp_path, '[web]\nurl = "https://pages.example/sub"\n')
    with serving(config, command=FAKE_WORKER) as pages:
        for host in ("pages.example", "localhost:5556", "127.0.0.1", "[::1]:5556", "192.0.2.1"):
            assert pages.ask("/r/a@b", Host=host).status == 200
        assert json.loads(pages.ask("/sub/r/a@b").text)["names"] == {"name": "a@b"}
        assert 'href="/sub/static/style.css"' in pages.ask("/nosuch").text


def test_a_slow_diff_holds_up_no_page(config: Config) -> None:
    """Pages come while each process for diffs has one that never ends; more diffs are refused."""
    with (
        serving(config, command=FAKE_WORKER, seconds=600.0) as pages,
        ExitStack() as stack,
    ):
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", pages.port)))
            for _ in range(20)
        ]
        for client in clients:
            client.sendall(b"GET /diff/slow@x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # Two have a process, and eight wait.
        wait_until(lambda: len(select.select(clients, [], [], 0)[0]) == 10, "the rest is refused")
        refused = pages.ask("/diff/a@b")
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        assert "Etag" not in refused.headers
        assert pages.ask("/").status == 200
        assert pages.ask("/r/a@b").status == 200


@pytest.mark.parametrize("name", ["slow@x", "dies@x", "lies@x"])
def test_a_page_that_never_comes(config: Config, name: str) -> None:
    """Its process is ended, whoever asked is told, and the next page is made by another."""
    with serving(config, command=FAKE_WORKER, seconds=1.0) as pages:
        for _ in range(2):
            reply = pages.ask(f"/r/{name}")
            assert reply.status == 503
            assert "was ended" in reply.text
        # A start does not count; a machine may be so busy that this took longer, too.
        wait_until(lambda: pages.ask("/r/a@b").status == 200, "pages come again")


def test_a_flood_is_bounded(pages: Pages) -> None:
    """More connections than are taken are hung up on, and then all is as before."""
    idle = [socket.create_connection(("127.0.0.1", pages.port)) for _ in range(150)]
    try:
        for each in idle:
            each.settimeout(0.2)

        def closed(client: socket.socket) -> bool:
            try:
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        with ThreadPoolExecutor(50) as threads:
            wait_until(
                lambda: sum(threads.map(closed, idle)) >= 150 - server.CONNECTIONS, "hung up on"
            )
    finally:
        for each in idle:
            each.close()
    wait_until(lambda: _answers(pages), "others are answered again")


def _answers(pages: Pages) -> bool:
    try:
        return pages.ask("/health").status == 200
    except OSError:
        return False


def test_who_says_nothing_is_hung_up_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request is waited for, but not for ever; so is somebody who takes no answer."""
    # Of whole requests, too, which on a busy machine may take longer than half a one has here
    with serving(config, command=FAKE_WORKER) as pages:
        monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)

        def connections() -> int:
            assert pages.server
            return pages.server.connections

        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(60)
            deaf.connect(("127.0.0.1", pages.port))
            deaf.sendall(b"GET /r/big@x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert deaf.recv(1)
            wait_until(lambda: connections() == 0, "it was waited for long enough")
            got = 0
            try:
                while piece := deaf.recv(1 << 20):
                    got += len(piece)
            except ConnectionError:
                pass
            assert got < 4 << 20
    with (
        serving(config, command=FAKE_WORKER) as pages,
        socket.create_connection(("127.0.0.1", pages.port), timeout=60) as half,
        suppress(ConnectionError),
    ):
        half.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert half.recv(1) == b""


def test_real_processes(config: Config) -> None:
    """The command that the service runs makes the page of the projects."""
    with serving(config) as pages:
        reply = pages.ask("/")
        assert reply.status == 200
        assert "<h1>" in reply.text

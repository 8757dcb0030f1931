"""A Patchwork in a few lines that can misbehave."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import redis

from patchsync.patchwork.client import Client
from patchsync.patchwork.rate_limit import LocalRateLimiter

MakeClient = Callable[..., Client]


@dataclass(frozen=True)
class Answer:
    """What the server says once, well or badly."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    # "length": Content-Length; "chunks": chunked; "close": neither, the connection's end is all.
    framing: str = "length"
    # So many bytes of the body are sent, then the connection is closed.
    cut_at: int | None = None
    # Nothing is sent until the server is closed.
    hang: bool = False
    # The body comes byte by byte, 0.01 s apart.
    drip: bool = False
    # The same of its head.
    drip_head: bool = False
    # And of what comes before that.
    before: bytes = b""


def as_json(content: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers}
    )


def as_html(status: int, text: str = "<html>An error page</html>") -> Answer:
    return Answer(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})


NOT_FOUND = as_html(404)
REFUSED = as_json({"detail": "Invalid token."}, 403)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class FakeServer(ThreadingHTTPServer):
    """Answers each path with what it was given for it, in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self.says("/api/1.3/", as_json({"projects": "", "patches": ""}))

    def says(self, path: str, *answers: Answer) -> None:
        """`path`: with a query to answer that query alone."""
        self._answers[path] = list(answers)

    def asked(self, beginning: str) -> list[Request]:
        return [request for request in self.requests if request.path.startswith(beginning)]

    def will_hang(self) -> bool:
        """Whether any path is to hang when it is asked for next."""
        with self._lock:
            return any(answers[0].hang for answers in self._answers.values())

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on it, as they should."""

    def next_answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            for path in (request.path, request.path.partition("?")[0]):
                if path in self._answers:
                    answers = self._answers[path]
                    return answers.pop(0) if len(answers) > 1 else answers[0]
        return NOT_FOUND


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeServer
    _headers_buffer: list[bytes]  # http.server's own

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.next_answer(Request(self.command, self.path, dict(self.headers), body))
        if answer.hang:
            self.server.closing.wait(10)
            self.close_connection = True
            return
        self._drip(answer.before)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        framed = self._framed(answer)
        if answer.drip_head:
            self._drip(b"".join(self._headers_buffer))
            self._headers_buffer.clear()
        self.end_headers()
        if answer.drip:
            self._drip(framed)
        else:
            self.wfile.write(framed if answer.cut_at is None else framed[: answer.cut_at])
        if answer.cut_at is not None or answer.framing == "close":
            self.close_connection = True

    do_OPTIONS = do_POST = do_PATCH = do_GET  # noqa: N815 - named by http.server

    def _drip(self, content: bytes) -> None:
        for byte in content:
            self.wfile.write(bytes([byte]))
            if self.server.closing.wait(0.01):
                break

    def _framed(self, answer: Answer) -> bytes:
        if answer.framing == "length":
            self.send_header("Content-Length", str(len(answer.body)))
            return answer.body
        if answer.framing == "close":
            self.send_header("Connection", "close")
            return answer.body
        self.send_header("Transfer-Encoding", "chunked")
        pieces = [answer.body[start : start + 100] for start in range(0, len(answer.body), 100)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])

    def log_message(self, format: str, *args: object) -> None:
        pass


class Patience(tuple[float, float]):
    """Seconds to connect and for an answer: many, but where none will come."""

    server: FakeServer

    @classmethod
    def with_server(cls, server: FakeServer) -> Patience:
        patience = cls((60.0, 60.0))
        patience.server = server
        return patience

    def __iter__(self) -> Iterator[float]:
        return iter((60.0, 0.05 if self.server.will_hang() else 60.0))


@dataclass
class FakeProject:
    """A project on the fake server: patches in series, listed and rendered as Patchwork does."""

    server: FakeServer
    key: str = "linux"
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add_series(self, series_id: int, *ids: int, bodies: dict[int, bytes] | None = None) -> None:
        rendered = {number: rendered_mail(number, (bodies or {}).get(number)) for number in ids}
        for number in ids:
            # Another host, as from a Patchwork that does not know what is in front of it.
            path = f"/project/{self.key}/patch/{number}@example.org/mbox/"
            entry = {
                "id": number,
                "msgid": message_id(number),
                "date": "2019-04-29T08:54:45",
                "mbox": f"http://internal.example:8000{path}",
                "project": {"id": 1, "link_name": self.key},
                "series": [
                    {"id": series_id, "mbox": f"http://internal.example/series/{series_id}/mbox/"}
                ],
            }
            self.entries.append(entry)
            self.server.says(path, mbox(rendered[number]))
            self.server.says(f"/api/1.3/patches/{number}/", as_json(entry))
            self.server.says(f"/patch/{number}/mbox/", Answer(302, headers={"Location": path}))
        self.server.says(f"/series/{series_id}/mbox/", mbox(b"\n".join(rendered.values())))
        self.server.says(
            f"/api/1.3/series/{series_id}/",
            as_json({"patches": [{"id": one, "msgid": message_id(one)} for one in ids]}),
        )

    def list(self) -> None:
        """Serves all patches as one page, with the links of Patchwork."""
        first = "<http://internal.example/api/1.3/patches/?page=1>"
        self.server.says(
            "/api/1.3/patches/",
            as_json(self.entries, Link=f'{first}; rel="first", {first}; rel="last"'),
        )


def message_id(number: int) -> str:
    return f"<{number}@example.org>"


def rendered_mail(number: int, body: bytes | None = None, *, named: str | None = None) -> bytes:
    """A mail as Patchwork renders it."""
    return (
        b"From patchwork Mon Apr 29 08:54:45 2019\n"
        b'Content-Type: text/plain; charset="utf-8"\n'
        b"X-Patchwork-Submitter: A <a@example.org>\n"
        b"X-Patchwork-Id: %d\n"
        b"Message-Id: %s\n"
        b"Subject: [PATCH] one\n"
        b"\n"
        b"%s" % (number, (named or message_id(number)).encode(), body or b"Text\n\n+ line\n")
    )


def mbox(content: bytes, **how: Any) -> Answer:
    return Answer(200, content, {"Content-Type": "text/plain; charset=utf-8"}, **how)


class RecordingLimiter(LocalRateLimiter):
    """Lets all through, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.holds: list[float] = []
        self.reasons: list[str] = []

    def wait(self, project: str) -> None:
        self.waits.append(project)

    def hold(self, seconds: float, why: str, *, by_server: bool = True) -> None:
        self.holds.append(seconds)
        self.reasons.append(why)


def in_two_processes(work: Callable[[Path, int], None], socket: Path, count: int) -> None:
    """Have this one and another do the same work with a Redis."""
    other = multiprocessing.get_context("spawn").Process(target=work, args=(socket, count))
    other.start()
    work(socket, count)
    other.join()
    assert other.exitcode == 0


def meet(client: redis.Redis) -> None:
    """Wait for the other one."""
    client.incr("met")
    while int(client.get("met") or 0) < 2:
        time.sleep(0.001)

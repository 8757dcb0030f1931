"""The HTTP server: which requests are taken, and what each may cost."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import mimetypes
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from patchsync.config import FILE_VARIABLE, TOKEN_VARIABLES, Config
from patchsync.fleet.services import HEALTH_PATHS
from patchsync.store.layout import OWN_FOLDER
from patchsync.web import catching_up
from patchsync.web.answers import HTML, TEXT, Answer, NotFound, PageError
from patchsync.web.catching_up import CatchingUp
from patchsync.web.freshness import Sources
from patchsync.web.headers import (
    CACHE_CONTROL,
    DRAWING_POLICY,
    PAGE_POLICY,
    POLICY,
    SECURITY_HEADERS,
)
from patchsync.web.links import BadName
from patchsync.web.pool import Pool
from patchsync.web.routes import find
from patchsync.web.site import FOLDER, Site

logger = logging.getLogger(__name__)

# Request line and headers: two names of 1,000 bytes, quoted, and what browsers send
HEADER_BYTES = 16 << 10
QUERY_BYTES = 2 << 10
BODY_BYTES = 64 << 10  # of requests that are refused, since they are none of ours
CONNECTIONS = 100
# Of a client that says nothing, or takes nothing
IDLE_SECONDS = 30.0
PAGE_SECONDS = 10.0
COMMAND = [sys.executable, "-m", "patchsync.web.worker"]


@dataclass(frozen=True, slots=True)
class Serving:
    """What requests share."""

    site: Site
    sources: Sources
    # Bytes, type and tag of each file of `static/`
    static: dict[str, tuple[bytes, str, str]]
    # Pages by themselves, and what may take long by itself: none waits for the other
    quick: Pool
    costly: Pool
    # Names under which we are asked, beside addresses
    hosts: frozenset[str]


class PageHandler(RequestHandler):
    """Every request: its address, what the client has already, and else a page."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def initialize(self, serving: Serving) -> None:
        """Tornado calls this for each request."""
        self.serving = serving

    def set_default_headers(self) -> None:
        """On errors too."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """None: ours is known before the work is done."""

    async def get(self) -> None:
        """Answer GET and HEAD."""
        try:
            answer = await self._answer()
        except PageError as error:
            answer = self.serving.site.error(error)
        if answer is None:
            self.set_status(304)
            await self.finish()
            return
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        if answer.status != 200:
            self.clear_header("Etag")
            self.clear_header("Last-Modified")
            self.set_header(POLICY, PAGE_POLICY)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        await self._send(answer.body)

    head = get

    async def _send(self, body: bytes) -> None:
        try:
            await asyncio.wait_for(self.finish(body), IDLE_SECONDS)
        except TimeoutError:
            self._stream().close()  # It takes nothing, or too slowly.
        except StreamClosedError:
            pass

    async def _answer(self) -> Answer | None:
        """None: what the client has is still so."""
        request, serving = self.request, self.serving
        self._demand_our_name()
        path = request.path
        root = serving.site.links.root
        if root and path.startswith(f"{root}/"):
            path = path.removeprefix(root)
        if path == HEALTH_PATHS["web"]:
            return Answer(body=b"alive\n", content_type=TEXT)
        self.set_header("Cache-Control", CACHE_CONTROL)
        if path.startswith("/static/"):
            return self._static(path.removeprefix("/static/"))
        try:
            address = find(path)
        except BadName as error:
            raise PageError(400, f"That is nobody's name: {error}.") from None
        if address is None:
            raise NotFound
        if address.format == "svg":
            # Of a 304, too: a browser takes its headers for those of the drawing that it has.
            self.set_header(POLICY, DRAWING_POLICY)
        query = self._query()
        fresh = serving.sources.freshness(time.time())
        etag = fresh.etag(path, request.query)
        self.set_header("Etag", etag)
        if fresh.last_modified:
            self.set_header("Last-Modified", fresh.last_modified)
        given = self._header("If-None-Match"), self._header("If-Modified-Since")
        if fresh.is_not_modified(etag, *given):
            return None
        question = {
            "page": address.route.page,
            "names": address.names,
            "format": address.format,
            "query": query,
        }
        pool = serving.costly if address.route.costly else serving.quick
        try:
            return await pool.ask(question, lambda: not self._stream().closed())
        except PageError as error:
            return serving.site.error(error, address.format)

    def _static(self, name: str) -> Answer | None:
        if name not in self.serving.static:
            raise NotFound
        body, content_type, etag = self.serving.static[name]
        self.set_header("Etag", etag)
        if etag in self._header("If-None-Match"):
            return None
        return Answer(body=body, content_type=content_type)

    def _query(self) -> dict[str, str]:
        query = self.request.query
        if len(query) > QUERY_BYTES:
            raise PageError(400, "What stands behind the question mark is too long.")
        try:
            values = dict(parse_qsl(query, max_num_fields=20, errors="strict"))
        except ValueError:
            raise PageError(400, "What stands behind the question mark is no query.") from None
        if any("\0" in text for item in values.items() for text in item):
            raise PageError(400, "What stands behind the question mark is no query.")
        return values

    def _demand_our_name(self) -> None:
        """Refuse a name that is not ours: a foreign page may have it lead to this machine."""
        try:
            host = urlsplit(f"//{self._header('Host')}").hostname or ""
        except ValueError:
            raise PageError(400, "That is no name of a host.") from None
        if host and host not in self.serving.hosts and not _is_address(host):
            raise PageError(421, "These pages have another name: that of [web] url.")

    def _header(self, name: str) -> str:
        return str(self.request.headers.get(name, ""))

    def _stream(self) -> IOStream:
        connection: Any = self.request.connection
        stream: IOStream = connection.stream
        return stream

    def write_error(self, status_code: int, **_: object) -> None:
        """Tornado's own errors, without a word of it; 405 above all."""
        if status_code == 405:
            self.set_header("Allow", "GET, HEAD")
            text = "These pages only show: GET and HEAD."
        else:
            text = "This request cannot be answered."
        answer = self.serving.site.error(PageError(status_code, text))
        self.set_header("Content-Type", HTML)
        self.finish(answer.body)


class _BoundedServer(HTTPServer):
    """Takes no more connections than `CONNECTIONS`; with more it hangs up."""

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= CONNECTIONS:
            stream.close()
            return
        super().handle_stream(stream, address)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _no_log(handler: RequestHandler) -> None:
    """No line for a request: a flood would fill the log. What fails is logged where it does."""


def _static_files() -> dict[str, tuple[bytes, str, str]]:
    files = {}
    for file in (FOLDER / "static").iterdir():
        body = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        files[file.name] = body, f"{kind}; charset=utf-8", etag
    return files


def sources(config: Config) -> Sources:
    """What the pages of a configuration are made of."""
    version = hashlib.sha256(config.source.read_bytes()).hexdigest()
    return Sources(config.d_mbox / OWN_FOLDER, version)


def _environment(config: Config) -> dict[str, str]:
    """What the processes behind the pages get: ours, but the token, which they do not need."""
    ours = {
        name: value for name, value in os.environ.items() if name.upper() not in TOKEN_VARIABLES
    }
    return ours | {FILE_VARIABLE: str(config.source)}


class Server:
    """The pages of one configuration, to be used within an event loop."""

    def __init__(
        self,
        config: Config,
        *,
        command: list[str] | None = None,
        seconds: float = PAGE_SECONDS,
        catch_up: list[str] | None = None,
    ) -> None:
        """`command` makes pages; `seconds` is what one may take; `catch_up` keeps the catalog."""
        command = command or COMMAND
        environment = _environment(config)
        self._serving = Serving(
            site=Site(config),
            sources=sources(config),
            static=_static_files(),
            quick=Pool(command, environment, size=2, waiting=32, seconds=seconds),
            costly=Pool(command, environment, size=2, waiting=8, seconds=seconds),
            hosts=frozenset({"localhost", urlsplit(config.web.url).hostname or "localhost"}),
        )
        application = Application(
            [(r".*", PageHandler, {"serving": self._serving})], log_function=_no_log
        )
        self._catching_up = CatchingUp(catch_up, environment) if catch_up else None
        self._http = _BoundedServer(
            application,
            max_header_size=HEADER_BYTES,
            max_body_size=BODY_BYTES,
            body_timeout=IDLE_SECONDS,
            idle_connection_timeout=IDLE_SECONDS,
        )

    def listen(self, address: str, port: int) -> int:
        """Listen; returns the port, which 0 leaves to the system."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sockets = bind_sockets(port, address, family=family)
        self._http.add_sockets(sockets)
        if self._catching_up:
            self._catching_up.start()
        return int(sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._http._connections)

    async def close(self) -> None:
        """Hang up, and end the processes."""
        self._http.stop()
        await self._http.close_all_connections()
        if self._catching_up:
            await self._catching_up.close()
        await self._serving.quick.close()
        await self._serving.costly.close()


async def serve(config: Config) -> None:
    """Serve where `[web]` says, until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = Server(config, catch_up=catching_up.COMMAND)
    port = server.listen(config.web.address, config.web.port)
    logger.info("pages at port %d of %s", port, config.web.address)
    try:
        await ended.wait()
    finally:
        await server.close()

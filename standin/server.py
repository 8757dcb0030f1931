"""The HTTP side: one tornado handler for all that Patchwork answers, over the table of routes."""

from __future__ import annotations

import asyncio
import json
from http.client import responses as reasons
from urllib.parse import parse_qs

from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application, RequestHandler

from standin import render, routes
from standin.control import CONTROLS, ControlHandler
from standin.faults import Fault
from standin.instance import Standin
from standin.messages import (
    ApiError,
    Request,
    Response,
    detail,
    html_answer,
    json_answer,
    redirect,
    to_json,
)
from standin.records import User
from standin.state import PatchworkState


class PatchworkHandler(RequestHandler):
    """Answers every address of Patchwork; faults and counting come before and after."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def initialize(self, standin: Standin) -> None:
        """Take in the server's state; tornado calls this for each request."""
        self.standin = standin
        self._gone = asyncio.Event()

    def compute_etag(self) -> None:
        """None: Patchwork sends no ETag, so a conditional GET always gets the whole body."""

    def set_default_headers(self) -> None:
        """Name Patchwork's usual server, which some clients show."""
        self.set_header("Server", "patchsync-standin")

    def on_connection_close(self) -> None:
        """Let go of a request that hangs."""
        self._gone.set()

    async def handle(self) -> None:
        """Answer one request."""
        found = routes.find(self.request.path)
        kind = found[0].kind if found is not None else "other"
        stats = self.standin.stats
        stats.begin(
            kind=kind,
            method=str(self.request.method),
            user_agent=self.request.headers.get("User-Agent", ""),
            authorized="Authorization" in self.request.headers,
        )
        status = size = 0
        try:
            if self.standin.faults.latency:
                await asyncio.sleep(self.standin.faults.latency)
            fault = self.standin.faults.take(kind, str(self.request.method))
            if fault is not None and fault.kind == "hang":
                await self._gone.wait()
                return
            if fault is not None and fault.instead:
                answer = fault_page(fault)
            else:
                answer = self._answer(found)
                if fault is not None:
                    answer = spoil(answer, fault, self.standin.state)
            status, size = answer.status, len(answer.body)
            await self._send(answer, cut=fault is not None and fault.kind == "cut")
        finally:
            stats.end(status=status, size=size)

    get = head = post = put = patch = delete = options = handle

    def _answer(self, found: tuple[routes.Route, dict[str, str]] | None) -> Response:
        if found is None:
            if routes.find(self.request.path + "/") is not None:
                query = f"?{self.request.query}" if self.request.query else ""
                return redirect(301, f"{self.request.path}/{query}")
            return html_answer(404, "File not found")
        route, args = found
        try:
            answer = self._answer_of_route(route, args)
        except ApiError as error:
            answer = json_answer(error.body, status=error.status)
        if route.is_api:
            answer.headers["Allow"] = route.allow
            answer.headers["Vary"] = "Accept, Cookie"
        answer.headers["X-Frame-Options"] = "DENY"
        return answer

    def _answer_of_route(self, route: routes.Route, args: dict[str, str]) -> Response:
        method = str(self.request.method)
        user = self._user() if route.is_api else None
        answering = route.methods.get(method)
        if answering is None:
            if method == "OPTIONS":
                return json_answer({"name": route.kind})
            raise detail(405, f'Method "{method}" not allowed.')
        request = Request(
            method=method,
            base=f"{self.request.protocol}://{self.request.host}",
            path=self.request.path,
            query=parse_qs(self.request.query, keep_blank_values=True),
            version=args.pop("version", ""),
            args=args,
            user=user,
            body=self.request.body,
        )
        return answering(self.standin.state, request)

    def _user(self) -> User | None:
        """The owner of the token; None without one. ApiError 403 for one that is not valid."""
        words = self.request.headers.get("Authorization", "").split()
        if not words or words[0].lower() != "token":
            return None
        if len(words) == 1:
            raise detail(403, "Invalid token header. No credentials provided.")
        if len(words) > 2:
            raise detail(403, "Invalid token header. Token string should not contain spaces.")
        user = self.standin.state.tokens.get(words[1])
        if user is None:
            raise detail(403, "Invalid token.")
        return user

    async def _send(self, answer: Response, *, cut: bool) -> None:
        if cut:
            await _send_half(self.detach(), answer)
            return
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        await self.finish(answer.body)


async def _send_half(stream: IOStream, answer: Response) -> None:
    """Announce the whole body, send half of it, close the connection."""
    head = (
        f"HTTP/1.1 {answer.status} {reasons[answer.status]}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    try:
        await stream.write(head.encode() + b"\r\n" + answer.body[: len(answer.body) // 2])
    except StreamClosedError:
        return
    finally:
        stream.close()


def fault_page(fault: Fault) -> Response:
    """What a server or something in front of it sends instead of an answer."""
    if fault.kind == "html":
        return html_answer(200, "Making sure you are not a robot")
    page = html_answer(fault.status, reasons[fault.status])
    if fault.retry_after is not None:
        page.headers["Retry-After"] = fault.retry_after
    return page


def spoil(answer: Response, fault: Fault, state: PatchworkState) -> Response:
    """An answer as a fault changes it; `cut` is seen to where the bytes go out."""
    if fault.kind == "status":
        return fault_page(fault)
    if fault.kind == "wrong-mbox" and answer.status == 200:
        body = render.wrong_id(answer.body, max(state.patches, default=0) + 1)
        return Response(body=body, content_type=answer.content_type, headers=answer.headers)
    if fault.kind == "foreign-project" and answer.status == 200:
        return _with_foreign_patch(answer, state)
    return answer


def _with_foreign_patch(answer: Response, state: PatchworkState) -> Response:
    """The list with its first entry in the name of another project."""
    entries = json.loads(answer.body)
    if isinstance(entries, list) and entries:
        project = entries[0]["project"]
        other = next(p for p in state.projects.values() if p.id != project["id"])
        project |= {"id": other.id, "name": other.name, "link_name": other.link_name}
    return Response(body=to_json(entries), content_type=answer.content_type, headers=answer.headers)


def application(standin: Standin) -> Application:
    """The tornado application: the controls, and everything else as Patchwork."""
    return Application(
        [
            *(
                (path, ControlHandler, {"standin": standin, **controls})
                for path, controls in CONTROLS
            ),
            (r".*", PatchworkHandler, {"standin": standin}),
        ],
        log_function=_no_log,
    )


def _no_log(handler: RequestHandler) -> None:
    """Say nothing about a request: the only line that the stand-in prints is its URL."""

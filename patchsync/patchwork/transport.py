"""HTTP as a guest of one server should speak it: paced, bounded, patient, the token kept at home.

Every attempt passes the gate. What passes by itself is tried a few times here and nowhere else;
what lasts longer ends the task and is left to the next round.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from pydantic import SecretStr
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from patchsync.errors import (
    AnswerLost,
    ConfigError,
    GiveUp,
    NotPatchwork,
    Refused,
    ServerUnavailable,
)
from patchsync.patchwork.limits import Gate
from patchsync.patchwork.reply import SHOWN_CHARACTERS, Reply, seconds_asked_for
from patchsync.patchwork.session import TokenAuth, make_session, no_auth

# These pass, most of the time.
_PASSING = frozenset({429, 500, 502, 503, 504})
# To a write it says: what is in front of the server gave up; the server may have it all the same.
_REQUEST_TIMEOUT = 408
_GOOD = frozenset({200, 201})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
# One call ends after so many attempts, and starts none after so many seconds.
_ATTEMPTS = 4
_RETRY_SECONDS = 120.0
# An answer may drip in, each drop within the read timeout, for so long.
_ANSWER_SECONDS = 300.0
# So many calls in a row, each of whose attempts failed, open the breaker: nobody asks for so long,
# and twice as long after each further one. It takes more where the server answers, but 500: one
# mail that it cannot render is asked for in a few ways, by several threads.
_BREAKER_CALLS = 2
_BREAKER_CALLS_500 = 12
_BREAKER_SECONDS = 5.0
_BREAKER_LONGEST = 300.0
# What a bad connection or a bad answer raises. InvalidHeader: of the answer, ours are looked at.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.InvalidHeader,
    urllib3.exceptions.HTTPError,
)
# What is read of an answer that is an error.
_ERROR_BYTES = 2**16
_CHUNK = 2**16


class TooLarge(GiveUp):
    """An answer has more bytes than were asked for; it was not read to its end."""


class ServerFailed(ServerUnavailable):
    """The server itself failed (500) at each attempt; it may do so for this one request only."""


class Transport:
    """Asks one origin, from any number of threads of one process; make it after a fork."""

    def __init__(
        self,
        url: str,
        gate: Gate,
        *,
        token: SecretStr | None = None,
        contact: str | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Opens nothing yet.

        Args:
            url: scheme, host, port and perhaps a path below which Patchwork lives.
            gate: each attempt passes it.
            token: of a Patchwork user; sent where `authenticated` says so, to this origin only.
            contact: an address or url by which the server's admin finds us, for the User-Agent.
            timeout: seconds to connect, seconds between two pieces of an answer.
            sleep: between two attempts.

        Raises:
            ConfigError: the url, the token or the contact cannot be used.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the url of the Patchwork wants http:// or https:// and a host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigError("the url of the Patchwork holds more than a host and a path")
        self._origin = f"{parts.scheme}://{parts.netloc.lower()}"
        self._prefix = parts.path.rstrip("/")
        self._gate = gate
        self._token = TokenAuth(token) if token else None
        self._timeout = timeout
        self._sleep = sleep
        self._session = make_session(contact)
        self._lock = threading.Lock()
        self._requests_sent = 0
        # In a row; of them those that were not answered, not even by 500
        self._failed_calls = 0
        self._unanswered_calls = 0

    @property
    def url(self) -> str:
        """What is asked: origin and path."""
        return self._origin + self._prefix

    @property
    def requests_sent(self) -> int:
        """Attempts sent so far."""
        return self._requests_sent

    def close(self) -> None:
        """Closes the connections kept."""
        self._session.close()

    def ask(
        self,
        path: str,
        *,
        project: str,
        max_bytes: int,
        authenticated: bool = False,
        method: Literal["GET", "OPTIONS"] = "GET",
    ) -> Reply:
        """The answer to a request that changes nothing, redirects within the origin followed.

        Args:
            path: and query; below the url's own path, whether it begins with that or not.
            project: what the request is counted for; "" for none.
            max_bytes: of the body, decoded.
            authenticated: sends the token, and follows no redirect.
            method: one that may be repeated at will.

        Raises:
            ServerUnavailable: also after this call's own retries (`ServerFailed`: 500).
            Refused: 401 or 403, with what the server says.
            NotPatchwork: a redirect away from the origin, or round and round.
            TooLarge: more than `max_bytes`.
        """
        url = self._at_origin(path)
        for _ in range(_MAX_REDIRECTS + 1):
            reply, location = self._call(method, url, project, max_bytes, authenticated)
            if reply.status in (401, 403):
                raise Refused(f"{url}: status {reply.status}: {reply.reason}")
            if location is None:
                return reply
            target = _join(url, location)
            if authenticated or not target.startswith(self._origin + "/"):
                raise _elsewhere(url, target)
            url = target
        raise NotPatchwork(f"{self._at_origin(path)} leads on and on (the last was {url!r})")

    def write(
        self,
        method: Literal["POST", "PATCH"],
        path: str,
        content: Mapping[str, object],
        *,
        project: str,
        max_bytes: int,
    ) -> Reply:
        """The answer to a request that changes something: sent once, as JSON, with the token.

        Also a PATCH, which the server lets one repeat: a slow one may still be at work, and a
        person may have changed the same in between. Who calls looks before doing it again.

        Args:
            method: how.
            path: as for `ask`.
            content: a JSON object.
            project: what the request is counted for.
            max_bytes: of the answer's body, decoded.

        Raises:
            ServerUnavailable: it was not sent, or turned away unread (429): nothing was written.
            AnswerLost: it was sent, but the answer is missing, cut, 408 or 5xx.
            NotPatchwork: a redirect: what was to be written is lost on it.
        """
        url = self._at_origin(path)
        body = json.dumps(content).encode()
        try:
            reply, location = self._attempt(method, url, project, max_bytes, True, body)
        except _Passing as passing:
            failed = passing
        except TooLarge as error:
            raise AnswerLost(f"{method} {error}") from error
        else:
            self._answered()
            if reply.status == _REQUEST_TIMEOUT or reply.status >= 500:
                raise AnswerLost(f"{method} {url}: status {reply.status}: {reply.reason}")
            if location is not None:
                raise _elsewhere(f"{method} {url}", _join(url, location))
            return reply
        # Not by its own word: that it may have been written must not be hidden by a lost Redis.
        with suppress(ServerUnavailable):
            self._break(f"{url}: {failed}", answered=failed.status == 500)
        if failed.unread:
            raise ServerUnavailable(f"{method} {url}: {failed}", retry_after=failed.retry_after)
        raise AnswerLost(f"{method} {url}: {failed}")

    def _at_origin(self, path: str) -> str:
        if not path.startswith(f"{self._prefix}/"):
            path = self._prefix + path
        return self._origin + path

    def _call(
        self, method: str, url: str, project: str, max_bytes: int, authenticated: bool
    ) -> tuple[Reply, str | None]:
        """One answer, after as many attempts as it takes, and where it redirects to."""
        retrying = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(_RETRY_SECONDS),
            wait=wait_random_exponential(multiplier=0.5, max=8),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer = retrying(self._attempt, method, url, project, max_bytes, authenticated)
        except _Passing as passing:
            failed = passing
        else:
            self._answered()
            return answer
        self._break(f"{url}: {failed}", answered=failed.status == 500)
        if failed.status == 500:
            raise ServerFailed(f"{url}: {failed}")
        raise ServerUnavailable(f"{url}: {failed}", retry_after=failed.retry_after)

    def _answered(self) -> None:
        with self._lock:
            self._failed_calls = self._unanswered_calls = 0

    def _break(self, failure: str, *, answered: bool) -> None:
        """The circuit breaker: a server that does not answer is left alone, by the whole fleet."""
        with self._lock:
            self._failed_calls += 1
            self._unanswered_calls += not answered
            calls = self._failed_calls
            more = max(self._unanswered_calls - _BREAKER_CALLS, calls - _BREAKER_CALLS_500)
        if more >= 0:
            # 2.0 to any such power is a float; beyond that the longest counts anyway.
            self._gate.hold(
                min(_BREAKER_SECONDS * 2.0 ** min(more, 10), _BREAKER_LONGEST),
                f"the breaker is open, {calls} calls in a row failed, the last: {failure}",
            )

    def _attempt(
        self,
        method: str,
        url: str,
        project: str,
        max_bytes: int,
        authenticated: bool,
        content: bytes | None = None,
    ) -> tuple[Reply, str | None]:
        self._gate.wait(project)
        with self._lock:
            self._requests_sent += 1
        try:
            with self._session.request(
                method,
                url,
                data=content,
                headers=None if content is None else {"Content-Type": "application/json"},
                auth=self._token if authenticated and self._token else no_auth,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._reply(response, max_bytes)
        except _BROKEN as error:
            problem: _Passing | NotPatchwork = _Passing(
                f"{type(error).__name__}: {error}", unread=_not_connected(error)
            )
        except requests.RequestException as error:
            problem = NotPatchwork(f"{url} cannot be asked: {type(error).__name__}: {error}")
        # Outside of the except block: requests' errors carry the request, and with it the token.
        raise problem

    def _reply(self, response: requests.Response, max_bytes: int) -> tuple[Reply, str | None]:
        status = response.status_code
        if status in _PASSING:
            retry_after = seconds_asked_for(response.headers.get("Retry-After"))
            if retry_after is not None:
                asked = f"status {status}, Retry-After: {retry_after:.0f} s"
                # Where Redis is not there the gate itself lets nobody through.
                with suppress(ServerUnavailable):
                    self._gate.hold(retry_after, f"{self._origin} asks to be left alone ({asked})")
            raise _Passing(
                f"status {status}", status=status, retry_after=retry_after, unread=status == 429
            )
        if status in _REDIRECTS and "Location" in response.headers:
            location: str | None = response.headers["Location"]
            body = b""
        else:
            location = None
            body = _body(response, max_bytes) if status in _GOOD else self._error_body(response)
        reply = Reply(
            url=response.url,
            status=status,
            content_type=response.headers.get("Content-Type", ""),
            links={rel: link["url"] for rel, link in response.links.items()},
            body=body,
            whole="Content-Length" in response.headers or response.raw.chunked,
        )
        return reply, location

    def _error_body(self, response: requests.Response) -> bytes:
        body = b""
        with suppress(TooLarge):
            body = _body(response, _ERROR_BYTES)
        return self._token.taken_out_of(body) if self._token else body


class _Passing(Exception):
    """An attempt failed in a way that passes by itself."""

    def __init__(
        self,
        problem: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        unread: bool = False,
    ) -> None:
        """`unread`: the server certainly did nothing of what the request said."""
        super().__init__(problem)
        self.status = status
        self.retry_after = retry_after
        self.unread = unread


def _not_connected(error: Exception) -> bool:
    """Whether there was no connection, so that nothing of the request can have arrived."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    # requests wraps what urllib3 gave up for; urllib3 wraps it once more for a proxy.
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.ProxyError):
        reason = reason.original_error
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _elsewhere(url: str, target: str) -> NotPatchwork:
    return NotPatchwork(
        f"{url} leads to {target[:SHOWN_CHARACTERS]!r}; "
        "if that is where the Patchwork is now, set it as the url"
    )


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        # No url at all; shown as it is.
        return location


def _body(response: requests.Response, max_bytes: int) -> bytes:
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise TooLarge(f"{response.url} has {announced} bytes, more than {max_bytes}")
    deadline = time.monotonic() + _ANSWER_SECONDS
    pieces: list[bytes] = []
    size = 0
    # read1, unlike iter_content, returns what has come: so the deadline is met between two drops.
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(f"{response.url} has more than {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise _Passing(f"the answer is not there after {_ANSWER_SECONDS:.0f} s")
    return b"".join(pieces)

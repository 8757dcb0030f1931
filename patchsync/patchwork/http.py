"""HTTP as a guest of one server should speak it: paced, bounded, patient, the token kept at home.

Every attempt passes the rate limiter. What passes by itself is tried a few times here and nowhere
else; what lasts longer ends the task and is left to the next round.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from patchsync.errors import (
    AnswerLost,
    ConfigError,
    GiveUp,
    NotPatchwork,
    Refused,
    ServerUnavailable,
    Unreachable,
    in_words,
)
from patchsync.patchwork.breaker import CircuitBreaker
from patchsync.patchwork.http_deadline import AnswerTooSlow
from patchsync.patchwork.http_response import SHOWN_CHARACTERS, HttpResponse, retry_after_seconds
from patchsync.patchwork.http_session import HttpSession, TokenAuth
from patchsync.patchwork.rate_limit import RateLimiter

# These pass, most of the time.
_PASSING = frozenset({429, 500, 502, 503, 504})
# To a write it says: what is in front of the server gave up; the server may have it all the same.
_REQUEST_TIMEOUT = 408
_GOOD = frozenset({200, 201})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
# What to change where the server does not take it.
TOKEN_TO_CHANGE = "see [mbox.patchwork] token, token_file and PATCHWORK_TOKEN"  # noqa: S105 - none
# One call ends after so many attempts, and starts none after so many seconds.
_ATTEMPTS = 4
_ATTEMPTS_IN_VAIN = 2
_RETRY_SECONDS = 120.0
# What a bad connection or a bad answer raises. InvalidHeader: of the answer, ours are looked at.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.InvalidHeader,
    AnswerTooSlow,
    urllib3.exceptions.HTTPError,
)
# What is read of an answer that is an error.
_ERROR_BYTES = 2**16
_CHUNK = 2**16


class TooLarge(GiveUp):
    """An answer has more bytes than were asked for; it was not read to its end."""


class ServerFailed(ServerUnavailable):
    """The server itself failed (500) at each attempt; it may do so for this one request only."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    url: str
    # What it is counted for; "" for none.
    project: str
    # Of the answer's body, decoded.
    max_bytes: int
    # Whether it carries the token.
    authenticated: bool
    # JSON.
    content: bytes | None = None


class HttpClient:
    """Asks one origin, from any number of threads of one process; make it after a fork."""

    def __init__(
        self,
        url: str,
        limiter: RateLimiter,
        *,
        token: SecretStr | None = None,
        contact: str | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Opens nothing yet.

        Args:
            url: scheme, host, port and perhaps a path below which Patchwork lives.
            limiter: each attempt passes it.
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
        self._limiter = limiter
        self._breaker = CircuitBreaker(limiter)
        self._token = TokenAuth(token) if token else None
        self._timeout = timeout
        self._sleep = sleep
        self._session = HttpSession(self._origin, contact)

    @property
    def url(self) -> str:
        """What is asked: origin and path."""
        return self._origin + self._prefix

    def close(self) -> None:
        """Closes the connections kept."""
        self._session.close()

    def read(
        self,
        path: str,
        *,
        project: str,
        max_bytes: int,
        authenticated: bool = False,
        method: Literal["GET", "OPTIONS"] = "GET",
    ) -> HttpResponse:
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
        request = _Request(
            method=method,
            url=self._at_origin(path),
            project=project,
            max_bytes=max_bytes,
            authenticated=authenticated,
        )
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._with_retries(request)
            if response.status in (401, 403):
                refusal = f"{request.url}: status {response.status}: {response.reason}"
                if authenticated:
                    refusal = f"{refusal.removesuffix('.')}; {TOKEN_TO_CHANGE}"
                raise Refused(refusal)
            if response.location is None:
                return response
            if authenticated or not response.location.startswith(self._origin + "/"):
                raise _elsewhere(request.url, response.location)
            request = replace(request, url=response.location)
        raise NotPatchwork(
            f"{self._at_origin(path)} leads on and on (the last was {request.url!r})"
        )

    def write(
        self,
        method: Literal["POST", "PATCH"],
        path: str,
        content: Mapping[str, object],
        *,
        project: str,
        max_bytes: int,
    ) -> HttpResponse:
        """The answer to a request that changes something: sent once, as JSON, with the token.

        Also a PATCH, which the server lets one repeat: a slow one may still be at work, and a
        person may have changed the same in between. Who calls looks before doing it again.

        Args:
            method: how.
            path: as for `read`.
            content: a JSON object.
            project: what the request is counted for.
            max_bytes: of the answer's body, decoded.

        Raises:
            ServerUnavailable: it was not sent, or turned away unread (429): nothing was written.
            AnswerLost: it was sent, but the answer is missing, cut, 408 or 5xx.
            NotPatchwork: a redirect: what was to be written is lost on it.
        """
        request = _Request(
            method=method,
            url=self._at_origin(path),
            project=project,
            max_bytes=max_bytes,
            authenticated=True,
            content=json.dumps(content).encode(),
        )
        what = f"{method} {request.url}"
        try:
            response = self._attempt(request)
        except TooLarge as error:
            raise AnswerLost(f"{method} {error}") from error
        except _AttemptFailed as failure:
            # Not by its own word: that it may have been written must not be hidden by a lost Redis.
            with suppress(ServerUnavailable):
                self._breaker.failed(f"{request.url}: {failure}", answered=failure.status == 500)
            if failure.unread:
                raise ServerUnavailable(
                    f"{what}: {failure}", retry_after=failure.retry_after
                ) from None
            raise AnswerLost(f"{what}: {failure}") from None
        self._breaker.succeeded()
        if response.status == _REQUEST_TIMEOUT or response.status >= 500:
            raise AnswerLost(f"{what}: status {response.status}: {response.reason}")
        if response.location is not None:
            raise _elsewhere(what, response.location)
        return response

    def _at_origin(self, path: str) -> str:
        if not path.startswith(f"{self._prefix}/"):
            path = self._prefix + path
        return self._origin + path

    def _with_retries(self, request: _Request) -> HttpResponse:
        """One answer, after as many attempts as it takes."""
        retrying = Retrying(
            retry=retry_if_exception_type(_AttemptFailed),
            stop=_enough,
            wait=wait_random_exponential(multiplier=0.5, max=8),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            response = retrying(self._attempt, request)
        except _AttemptFailed as failure:
            problem = f"{request.url}: {failure}"
            self._breaker.failed(problem, answered=failure.status == 500)
            if failure.status == 500:
                raise ServerFailed(problem) from None
            if failure.unreachable:
                raise Unreachable(problem) from None
            raise ServerUnavailable(problem, retry_after=failure.retry_after) from None
        self._breaker.succeeded()
        return response

    def _attempt(self, request: _Request) -> HttpResponse:
        self._limiter.wait(request.project)
        try:
            with self._session.send(
                request.method,
                request.url,
                timeout=self._timeout,
                content=request.content,
                token=self._token if request.authenticated else None,
            ) as response:
                return self._bounded(response, request)
        except _BROKEN as error:
            problem: _AttemptFailed | NotPatchwork = _AttemptFailed(
                in_words(error),
                unread=_not_connected(error),
                unreachable=_not_connected(error) and not isinstance(error, requests.Timeout),
            )
        except requests.RequestException as error:
            problem = NotPatchwork(f"{request.url} cannot be asked: {in_words(error)}")
        # Outside of the except block: requests' errors carry the request, and with it the token.
        raise problem

    def _bounded(self, response: requests.Response, request: _Request) -> HttpResponse:
        """The answer, read no further than its bounds allow."""
        status, headers = response.status_code, response.headers
        if status in _PASSING:
            raise self._turned_away(response)
        location = None
        if status in _REDIRECTS and "Location" in headers:
            location, body = _join(request.url, headers["Location"]), b""
        elif status in _GOOD:
            body = _body(response, request.max_bytes)
        else:
            body = self._error_body(response)
        return HttpResponse(
            url=response.url,
            status=status,
            content_type=headers.get("Content-Type", ""),
            links={rel: link["url"] for rel, link in response.links.items()},
            body=body,
            whole="Content-Length" in headers or response.raw.chunked,
            location=location,
        )

    def _turned_away(self, response: requests.Response) -> _AttemptFailed:
        """The failure of a status that passes; nobody asks for as long as its Retry-After says."""
        status = response.status_code
        retry_after = retry_after_seconds(response.headers.get("Retry-After"))
        if retry_after is not None:
            asked = f"status {status}, Retry-After: {retry_after:.0f} s"
            # Where Redis is not there the limiter itself lets nobody through.
            with suppress(ServerUnavailable):
                self._limiter.hold(retry_after, f"{self._origin} asks to be left alone ({asked})")
        return _AttemptFailed(
            f"status {status}", status=status, retry_after=retry_after, unread=status == 429
        )

    def _error_body(self, response: requests.Response) -> bytes:
        body = b""
        with suppress(TooLarge):
            body = _body(response, _ERROR_BYTES)
        return self._token.taken_out_of(body) if self._token else body


class _AttemptFailed(Exception):
    """An attempt failed in a way that passes by itself."""

    def __init__(
        self,
        problem: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        unread: bool = False,
        unreachable: bool = False,
    ) -> None:
        """`unread`: the server certainly did nothing of what the request said.

        `unreachable`: there was nobody who could have.
        """
        super().__init__(problem)
        self.status = status
        self.retry_after = retry_after
        self.unread = unread
        self.unreachable = unreachable


def _enough(state: RetryCallState) -> bool:
    """Whether a call is not tried again; where nobody is, what is started anew takes longer."""
    error = state.outcome.exception() if state.outcome else None
    in_vain = isinstance(error, _AttemptFailed) and error.unreachable
    attempts = _ATTEMPTS_IN_VAIN if in_vain else _ATTEMPTS
    return state.attempt_number >= attempts or (state.seconds_since_start or 0) >= _RETRY_SECONDS


def _not_connected(error: Exception) -> bool:
    """Whether there was no connection, so that nothing of the request can have arrived."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
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
    # No int: Python refuses one of 5000 digits.
    if announced.isdecimal() and float(announced) > max_bytes:
        raise TooLarge(f"{response.url} has {announced[:20]} bytes, more than {max_bytes}")
    body = io.BytesIO()  # Unlike a list of pieces it is never there twice.
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        body.write(piece)
        if body.tell() > max_bytes:
            raise TooLarge(f"{response.url} has more than {max_bytes} bytes")
    return body.getvalue()

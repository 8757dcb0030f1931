"""HTTP as a guest of one server should speak it: paced, bounded, patient, the token kept at home.

Every attempt passes the gate. What passes by itself is tried a few times here and nowhere else;
what lasts longer ends the task and is left to the next round.
"""

from __future__ import annotations

import email.utils
import importlib.metadata
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Literal
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from patchsync.errors import ConfigError, GiveUp, NotPatchwork, Refused, ServerUnavailable
from patchsync.patchwork.limits import Gate

# These pass by themselves, most of the time.
_PASSING = frozenset({429, 500, 502, 503, 504})
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
# What is read and shown of an answer that is an error.
_ERROR_BYTES = 2**16
_SHOWN_CHARACTERS = 200
_CHUNK = 2**16
# Connections kept, for the threads of one process.
_CONNECTIONS = 32


class TooLarge(GiveUp):
    """An answer has more bytes than were asked for; it was not read to its end."""


class ServerFailed(ServerUnavailable):
    """The server itself failed (500) at each attempt; it may do so for this one request only."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer that is not known to pass by itself: 2xx, 404 and other 4xx."""

    url: str
    status: int
    content_type: str
    # By their rel: next, prev, first, last.
    links: Mapping[str, str]
    body: bytes
    # Whether its end was announced, by Content-Length or chunks; a cut one then raises.
    whole: bool


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
        self._token = _Token(token) if token else None
        self._timeout = timeout
        self._sleep = sleep
        self._session = _session(_user_agent(contact))
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
            if location is None:
                return reply
            target = _join(url, location)
            if authenticated or not target.startswith(self._origin + "/"):
                raise NotPatchwork(
                    f"{url} leads to {target[:_SHOWN_CHARACTERS]!r}; "
                    "if that is where the Patchwork is now, set it as the url"
                )
            url = target
        raise NotPatchwork(f"{self._at_origin(path)} leads on and on (the last was {url!r})")

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
            with self._lock:
                self._failed_calls = self._unanswered_calls = 0
            return answer
        self._break(f"{url}: {failed}", answered=failed.status == 500)
        if failed.status == 500:
            raise ServerFailed(f"{url}: {failed}")
        raise ServerUnavailable(f"{url}: {failed}", retry_after=failed.retry_after)

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
        self, method: str, url: str, project: str, max_bytes: int, authenticated: bool
    ) -> tuple[Reply, str | None]:
        self._gate.wait(project)
        with self._lock:
            self._requests_sent += 1
        try:
            with self._session.request(
                method,
                url,
                # Never None: requests would look into ~/.netrc.
                auth=self._token if authenticated and self._token else _no_auth,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._reply(response, max_bytes)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            problem: _Passing | NotPatchwork = _Passing(f"{type(error).__name__}: {error}")
        except requests.RequestException as error:
            problem = NotPatchwork(f"{url} cannot be asked: {type(error).__name__}: {error}")
        # Outside of the except block: requests' errors carry the request, and with it the token.
        raise problem

    def _reply(self, response: requests.Response, max_bytes: int) -> tuple[Reply, str | None]:
        status = response.status_code
        if status in _PASSING:
            retry_after = _retry_after(response.headers.get("Retry-After"))
            if retry_after is not None:
                asked = f"status {status}, Retry-After: {retry_after:.0f} s"
                self._gate.hold(retry_after, f"{self._origin} asks to be left alone ({asked})")
            raise _Passing(f"status {status}", status=status, retry_after=retry_after)
        if status in _REDIRECTS and "Location" in response.headers:
            location: str | None = response.headers["Location"]
            body = b""
        else:
            location = None
            body = _body(response, max_bytes) if status == 200 else _error_body(response)
        if status in (401, 403):
            raise Refused(f"{response.url}: status {status}: {self._shown(body)}")
        reply = Reply(
            url=response.url,
            status=status,
            content_type=response.headers.get("Content-Type", ""),
            links={rel: link["url"] for rel, link in response.links.items()},
            body=body,
            whole="Content-Length" in response.headers or response.raw.chunked,
        )
        return reply, location

    def _shown(self, body: bytes) -> str:
        """An error's text, as much of it as is fit to show."""
        text = " ".join(body.decode("utf-8", "replace").split())
        if self._token:
            text = self._token.taken_out_of(text)
        return text[:_SHOWN_CHARACTERS]


class _Passing(Exception):
    """An attempt failed in a way that passes by itself."""

    def __init__(
        self, problem: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.retry_after = retry_after


class _Token(AuthBase):
    """Puts the token on a request; shows it nowhere."""

    def __init__(self, token: SecretStr) -> None:
        # requests would show it in its complaint about the header.
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ConfigError("the token holds characters that no token of a Patchwork has")
        self._secret = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self._secret.get_secret_value()}"
        return request

    def taken_out_of(self, text: str) -> str:
        return text.replace(self._secret.get_secret_value(), "[token]")


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests would read a redirect's body to its end, and stumble over its Location."""


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        # No url at all; shown as it is.
        return location


def _session(user_agent: str) -> requests.Session:
    session = _Session()
    session.headers["User-Agent"] = user_agent
    session.headers["Accept-Language"] = "en"
    # A guest is recognised by its User-Agent; cookies would be shared between threads.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_maxsize=_CONNECTIONS)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _user_agent(contact: str | None) -> str:
    try:
        version = importlib.metadata.version("patchsync")
    except importlib.metadata.PackageNotFoundError:
        # Run from its sources, without being installed.
        version = "unknown"
    agent = f"patchsync/{version} (+{contact})" if contact else f"patchsync/{version}"
    if not re.fullmatch(r"[ -~]+", agent):
        raise ConfigError("[patchwork] contact: wants one line of ASCII, like an address or a url")
    return agent


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


def _error_body(response: requests.Response) -> bytes:
    with suppress(TooLarge):
        return _body(response, _ERROR_BYTES)
    return b""


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, of a Retry-After in either of its forms."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())

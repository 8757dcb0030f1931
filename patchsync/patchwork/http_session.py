"""Who we are to a server: the connections with our User-Agent, and the token, shown nowhere."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from patchsync.errors import ConfigError
from patchsync.patchwork.http_deadline import DeadlineAdapter

# Connections kept, for the threads of one process.
_CONNECTIONS = 32


class TokenAuth(AuthBase):
    """Puts the token on a request; shows it nowhere."""

    def __init__(self, token: SecretStr) -> None:
        # requests would show it in its complaint about the header.
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ConfigError("the token holds characters that no token of a Patchwork has")
        self._secret = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self._secret.get_secret_value()}"
        return request

    def taken_out_of(self, body: bytes) -> bytes:
        """An answer that may repeat the token, without it."""
        return body.replace(self._secret.get_secret_value().encode(), b"[token]")


class HttpSession:
    """Connections to one origin, for any number of threads, that say who asks.

    What requests.Session finds out anew for each request (proxies and certificates of the
    environment, cookies, ~/.netrc, redirects) is found out once or not wanted here; it would be
    half of what a request costs us.
    """

    def __init__(self, origin: str, contact: str | None) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: the contact fits no header.
        """
        self._headers = {
            "User-Agent": _user_agent(contact),
            "Accept-Encoding": "gzip, deflate",
            "Accept": "*/*",
            "Connection": "keep-alive",
            "Accept-Language": "en",
        }
        self._origin = origin
        self._adapter = DeadlineAdapter(pool_maxsize=_CONNECTIONS)
        self._environment: dict[str, Any] | None = None

    def close(self) -> None:
        """Closes the connections kept; the next request opens one again."""
        self._adapter.close()
        self._environment = None

    def send(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        content: bytes | None = None,
        token: TokenAuth | None = None,
    ) -> requests.Response:
        """The head of an answer, whose body is to be read, and which is to be closed.

        `content`: JSON. Raises what requests does, and urllib3.
        """
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.prepare_url(url, None)
        request.prepare_headers(self._headers)
        request.prepare_body(content, None)
        if content is not None:
            request.headers["Content-Type"] = "application/json"
        if token is not None:
            token(request)
        if self._environment is None:
            self._environment = _environment(self._origin)
        return self._adapter.send(request, timeout=timeout, **self._environment)


def _environment(origin: str) -> dict[str, Any]:
    """Through which proxy one gets there, and whose certificates are trusted."""
    with requests.Session() as session:
        return dict(session.merge_environment_settings(origin, {}, True, None, None))


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

"""Who we are to a server: the connections with our User-Agent, and the token, shown nowhere."""

from __future__ import annotations

import importlib.metadata
import re
from http.cookiejar import DefaultCookiePolicy

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


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Puts nothing on a request. None would not do: requests would look into ~/.netrc."""
    return request


class _SessionWithoutRedirects(requests.Session):
    """Follows no redirect, and reads no more of one than its head."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests would read a redirect's body to its end, and stumble over its Location."""


def open_session(contact: str | None) -> requests.Session:
    """A session for any number of threads, that says who it is.

    Raises:
        ConfigError: the contact fits no header.
    """
    session = _SessionWithoutRedirects()
    session.headers["User-Agent"] = _user_agent(contact)
    session.headers["Accept-Language"] = "en"
    # A guest is recognised by its User-Agent; cookies would be shared between threads.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = DeadlineAdapter(pool_maxsize=_CONNECTIONS)
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

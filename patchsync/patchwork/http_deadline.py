"""Connections whose answers come in time or end, however they drip in; and their heads in bounds.

The timeout of a socket counts from one piece to the next: a byte each few seconds passes it for
ever, be it of the body, of a header, or of the status line.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

# From the request's end to the answer's; a piece that is waited for then may take its own timeout.
ANSWER_SECONDS = 300.0
# Of the head. Python parses a Content-Type in quadratic time: one of 64 kB takes seconds.
_LONGEST_LINE = 16 * 1024


class AnswerTooSlow(Exception):
    """An answer dripped in for too long."""


class DeadlineAdapter(HTTPAdapter):
    """Raises AnswerTooSlow where an answer, read or not, takes more than `ANSWER_SECONDS`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections of hosts that are reached directly."""
        super().init_poolmanager(*args, **kwargs)
        _use_deadlines(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """Make those behind a proxy."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        if type(manager) is ProxyManager:  # One for SOCKS has connections of its own.
            _use_deadlines(manager)
        return manager


class _UntilDeadline(io.RawIOBase):
    """What a socket gives, until a deadline."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._seconds = ANSWER_SECONDS
        self._deadline = time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if time.monotonic() > self._deadline:
            raise AnswerTooSlow(f"the answer is not there after {self._seconds:.0f} s")
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


class _Lines(io.BufferedReader):
    """What an answer is read from: its head, and the sizes of chunks, by lines."""

    def readline(self, size: int | None = -1, /) -> bytes:
        # Whatever is asked for: urllib3 wants the size of a chunk however long it is.
        line = super().readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        return line


class _Answer(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = _Lines(_UntilDeadline(self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _Answer


class _TlsConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _use_deadlines(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

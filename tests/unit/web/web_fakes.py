"""A browser that hides nothing, and a process that makes pages as it is told."""

from __future__ import annotations

import http.client
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from patchsync.web.server import Server

# Answers what it was asked for, as JSON. A name says what else to do.
PROGRAM = """
import json, sys, time
out = sys.stdout.buffer
out.write(b"ready\\n"); out.flush()
for line in sys.stdin.buffer:
    question = json.loads(line)
    names = list(question["names"].values())
    size = None
    if "slow@x" in names:
        time.sleep(1000)
    if "dies@x" in names:
        break
    if "lies@x" in names:
        size = 1 << 40
    body = json.dumps(question).encode()
    if "big@x" in names:
        body = b"x" * (4 << 20)
    head = {"status": 200, "content_type": "application/json", "headers": {},
            "size": size or len(body)}
    out.write(json.dumps(head).encode() + b"\\n" + body); out.flush()
"""
FAKE_WORKER = [sys.executable, "-c", PROGRAM]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Pages:
    """The server, asked with paths that are sent as they are given."""

    url: str
    # Where it is one of this process
    server: Server | None = None

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port
        return port

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """`headers`: with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

"""A Patchwork that can misbehave, clients of it, and the real data."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patchwork_fakes import FakeProject, FakeServer, MakeClient, Patience, RecordingLimiter
from pydantic import SecretStr

from patchsync.patchwork.client import Client

SHARED_DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
        thread.start()
        yield fake
        fake.closing.set()
        fake.shutdown()
        thread.join()


@pytest.fixture
def limiter() -> RecordingLimiter:
    return RecordingLimiter()


@pytest.fixture
def project(server: FakeServer) -> FakeProject:
    return FakeProject(server)


@pytest.fixture
def make_client(server: FakeServer, limiter: RecordingLimiter) -> Iterator[MakeClient]:
    """Clients that do not sleep between attempts, nor wait long where nothing comes."""
    made: list[Client] = []

    def make(url: str | None = None, *, token: str | None = None, **how: Any) -> Client:
        how = {
            "limiter": limiter,
            "timeout": Patience.with_server(server),
            "sleep": lambda _: None,
        } | how
        client = Client(url or server.url, token=SecretStr(token) if token else None, **how)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real mail and the real answers that this project was measured with."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}; set PATCHSYNC_SHARED_DATA")
    return SHARED_DATA

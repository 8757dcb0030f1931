"""The pages' server on loopback, in a thread, with real processes behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.web.server import Server
from tests.unit.web.web_fakes import FAKE_WORKER, Pages


@contextmanager
def serving(config: Config, **settings: object) -> Iterator[Pages]:
    """A server until the block ends; `settings` are those of `Server`."""
    loop = asyncio.new_event_loop()
    started: list[tuple[int, Server]] = []
    ready, ended = threading.Event(), asyncio.Event()

    async def run() -> None:
        server = Server(config, **settings)  # type: ignore[arg-type]
        started.append((server.listen("127.0.0.1", 0), server))
        ready.set()
        await ended.wait()
        await server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(60)
        ((port, server),) = started
        yield Pages(f"http://127.0.0.1:{port}", server)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()


def configuration(folder: Path, tables: str = "") -> Config:
    """One that names a Patchwork where nobody listens."""
    file = folder / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "http://127.0.0.1:9/api/"\n'
        'projects = [{ id = "sample", list_email = "list@example.org" }]\n' + tables
    )
    return load(file)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The default `[web]`."""
    return configuration(tmp_path)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A server whose pages say what they were asked for, quickly, slowly or badly."""
    config = configuration(tmp_path_factory.mktemp("pages"))
    with serving(config, command=FAKE_WORKER, seconds=60.0) as pages:
        yield pages

"""The stand-in in a thread of this process, for who looks at its state or changes it by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from standin.instance import Standin
from standin.server import application


@contextmanager
def served(standin: Standin) -> Iterator[str]:
    """Its address. Its state is not thread-safe: change it while nobody asks."""
    sockets = bind_sockets(0, "127.0.0.1")
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        HTTPServer(application(standin)).add_sockets(sockets)

    loop.call_soon(lambda: loop.create_task(serve()))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

"""The Redis server dies and comes back: the workers find it by themselves and go on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsync.fleet.redis_server import embedded_redis_server, redis_trouble
from patchsync.fleet.services import SYNC_QUEUES
from standin.process import StandinProcess
from tests.faults.conftest import HASTY, await_step, fleet_at_work, pages_in_flight
from tests.support.contents import Contents, assert_same_store
from tests.support.installation import configured, free_port, main_process, wait_until

SERVICES = (*SYNC_QUEUES, "beat")


class RedisServer:
    """A Redis on a port of the loopback, which may be killed and started again."""

    def __init__(self, folder: Path, appendonly: str) -> None:
        self.port = free_port()
        self._command = [embedded_redis_server(), "--bind", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", appendonly]
        self.start()

    def start(self) -> None:
        """Start it, with what it kept."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A running Redis, with or without AOF."""
    server = RedisServer(tmp_path, request.param)
    yield server
    server.kill()


@pytest.mark.parametrize("server", ["yes", "no"], indirect=True)
def test_killed_in_mid_round(
    tmp_path: Path, patchwork: StandinProcess, quiet: Contents, server: RedisServer
) -> None:
    """With or without what Redis had kept, nobody has to restart a worker or beat."""
    extra = f'{HASTY}\n[redis]\nurl = "redis://127.0.0.1:{server.port}/0"\n'
    installation = configured(tmp_path, patchwork, extra)
    patchwork.control.latency(0.5)
    wait_until(lambda: redis_trouble(installation.config) is None, "Redis answers")
    with fleet_at_work(installation):
        wait_until(lambda: pages_in_flight(installation), "pages are in flight")
        before = [main_process(installation, service) for service in SERVICES]
        server.kill()
        patchwork.control.latency(0)
        # One that was just sending an event says nothing, but tries until it is there again.
        wait_until(lambda: "Connection to broker lost" in installation.logs(), "it is noticed")
        server.start()
        await_step(installation)
        assert_same_store(installation, quiet)
        assert [main_process(installation, service) for service in SERVICES] == before

"""`patchsync health`: who is alive on this host, by the exit status."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from patchsync.cli import main
from patchsync.config import Config, load
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.services import HEALTH_PATHS


class Dashboard(BaseHTTPRequestHandler):
    """Answers as its server says."""

    def do_GET(self) -> None:
        status: int = self.server.status  # type: ignore[attr-defined]
        self.send_response(status if self.path == self.server.path else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def dashboard() -> Iterator[Any]:
    """What answers to the health check at its `path`, with its `status`."""
    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path: Path, redis_socket: Path) -> Config:
    """A configuration whose Redis answers."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'
        f'[redis]\nurl = "unix://{redis_socket}"\n'
    )
    return load(file)


def health(config: Config, service: str, port: int = 1) -> Result:
    """What the command says; `port`: the dashboard's, or the pages'."""
    environment = {"PATCHSYNC_FLOWER__PORT": str(port), "PATCHSYNC_WEB__PORT": str(port)}
    return CliRunner().invoke(main, ["-c", str(config.source), "health", service], env=environment)


def test_a_worker_of_this_host(config: Config, redis_client: redis.Redis) -> None:
    """One elsewhere, or one that ended, is not alive here."""
    heartbeats = Heartbeats(redis_client, config.namespace)
    heartbeats.note(Member(service="fetch"))
    heartbeats.note(Member(service="index", host="elsewhere"))
    alive = health(config, "fetch")
    assert (alive.exit_code, alive.output) == (0, "fetch: alive\n")
    assert health(config, "index").exit_code == 1
    heartbeats.end(Member(service="fetch"))
    ended = health(config, "fetch")
    assert ended.exit_code == 1
    assert ended.output.startswith("fetch: no process of it on ")


@pytest.mark.parametrize(("service", "path"), HEALTH_PATHS.items())
@pytest.mark.parametrize("status", [200, 503])
def test_what_answers_by_http(
    config: Config, dashboard: Any, service: str, path: str, status: int
) -> None:
    """The dashboard and the pages are asked themselves."""
    dashboard.status, dashboard.path = status, path
    asked = health(config, service, dashboard.server_port)
    url = f"http://127.0.0.1:{dashboard.server_port}"
    told = "alive" if status == 200 else f"{url}{path} answers with status {status}"
    assert asked.output == f"{service}: {told}\n"
    assert asked.exit_code == (status != 200)


def test_no_dashboard(config: Config) -> None:
    """The address is told that does not answer."""
    asked = health(config, "flower")
    assert asked.exit_code == 1
    assert "flower: http://127.0.0.1:1 does not answer: " in asked.output

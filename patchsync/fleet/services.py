"""The services of a fleet: one command for each, however it is started."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from patchsync.errors import GiveUp

if TYPE_CHECKING:
    from patchsync.config import Config

# Each is a worker of the queue of its name: those that bring patches here, who groups them, and
# who annotates.
SYNC_QUEUES = ("probe", "fetch", "index")
QUEUES = (*SYNC_QUEUES, "analyse", "push")
SERVICES = (*QUEUES, "beat", "flower", "web")
# Those that people see, and where each says that it is alive; the others sign in with Redis.
HEALTH_PATHS = {"flower": "/healthcheck", "web": "/health"}
# Both packages lie side by side, wherever they are installed.
WORKERS = [sys.executable, "-m", "workers"]
FLOWER_SETTINGS = Path(__file__).parents[2] / "workers" / "flower_settings.py"


def service_command(config: Config, service: str, processes: int | None = None) -> list[str]:
    """The command of one of `SERVICES`.

    Fetching waits for the network, so it has several processes. `probe` has two, one of them for
    audits (`sync.audit_turn`). The others have one: a store has one writer at a time anyway.

    Raises:
        ConfigError: the dashboard would be open to everybody, or messages cannot be signed.
    """
    if service == "web":  # which only reads, and needs nothing of Celery and Redis
        return [sys.executable, "-m", "patchsync.web"]
    config.signing_key()  # Celery would not say which setting is wrong.
    if service == "beat":
        return [*WORKERS, "beat"]
    if service == "flower":
        config.flower_login()  # Nor would Flower.
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "workers"]
        return [*celery, "flower", f"--conf={FLOWER_SETTINGS}"]
    if processes is None:
        processes = {"fetch": config.fleet.fetch_processes, "probe": 2}.get(service, 1)
    return [*WORKERS, "worker", "-Q", service, "-c", str(processes)]


def wanted_services(config: Config) -> tuple[str, ...]:
    """The services that this configuration needs.

    Nothing is analysed where somebody else does it, and nothing pushed unless it says what.
    """
    idle = set()
    if config.analysis.engine == "none":
        idle.add("analyse")
    if not config.push.sinks:
        idle.add("push")
    return tuple(service for service in SERVICES if service not in idle)


def node_name(service: str) -> list[str]:
    """The end of a worker's command: the name under which this process is seen.

    The process that becomes the worker, or its parent, so that two on one machine differ.
    """
    return ["-n", f"{service}-{os.getpid()}@%h"]


def demand_free_port(config: Config, service: str) -> None:
    """See that one of `HEALTH_PATHS` can listen where it should.

    Raises:
        GiveUp: something else does, or this machine has no such address.
    """
    address, port = _listens_at(config, service)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise GiveUp(
                f"[{service}] address, port: {address}:{port}: {error.strerror}; set another port"
            ) from error


def local_url(config: Config, service: str) -> str:
    """Where one of `HEALTH_PATHS` answers on this machine."""
    address, port = _listens_at(config, service)
    if address in ("0.0.0.0", "::"):  # noqa: S104 - all addresses, so also this one
        address = "127.0.0.1"
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def _listens_at(config: Config, service: str) -> tuple[str, int]:
    table = config.web if service == "web" else config.flower
    return table.address, table.port

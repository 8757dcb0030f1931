"""`patchsync up`: the whole fleet on this machine, until Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
import redis

from patchsync.cli.output import echo
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load, make_run_dir
from patchsync.errors import GiveUp, LockHeld, PatchsyncError
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.services import (
    HEALTH_PATHS,
    SERVICES,
    demand_free_port,
    local_url,
    wanted_services,
)
from patchsync.fleet.supervisor import Supervisor
from patchsync.store.lock import store_lock

LOOK_SECONDS = 0.5
# After a start that failed
AGAIN_SECONDS = 5.0
WIDTH = max(map(len, SERVICES))


@click.command()
@click.argument("services", nargs=-1, type=click.Choice(SERVICES))
def up(services: tuple[str, ...]) -> None:
    """Run the whole fleet on this machine until Ctrl-C.

    Redis if none is set, workers, beat, Flower and the pages. With SERVICES only these, such as
    `patchsync up fetch` on a second machine. A process that ends is started again. All log to
    stdout, a line each with the service's name before it. A second one here, with the same
    configuration, ends at once.
    """
    config = load()
    wanted = services or wanted_services(config)
    with ExitStack() as alone:
        for service in wanted:
            alone.enter_context(_only_one(config, service))
        for service in HEALTH_PATHS:
            if service in wanted:
                demand_free_port(config, service)
        _until_ctrl_c(config, wanted)


@contextmanager
def _only_one(config: Config, service: str) -> Iterator[None]:
    """Refuse a service that an `up` with this configuration runs already.

    The file says nothing, the lock on it does: it ends with its process, however that ends.
    """
    # Not in the folder itself, which who started Redis removes at the end.
    path = make_run_dir(config).with_suffix(f".{service}")
    try:
        with store_lock(path, wait=0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except LockHeld:
        raise GiveUp(
            f"a fleet with this configuration runs already on this machine: its `patchsync up` has"
            f" {service}; `patchsync status` shows it"
        ) from None


def _until_ctrl_c(config: Config, wanted: tuple[str, ...]) -> None:
    end_as_by_ctrl_c()
    log = _Log()
    with Supervisor(config, log.write) as fleet:
        try:
            _run(config, fleet, wanted, log)
        except KeyboardInterrupt:
            log.write("up", "ends: asking all to finish what they have in hand")
    fleet.remove_files()


def _run(config: Config, fleet: Supervisor, wanted: tuple[str, ...], log: _Log) -> None:
    if fleet.ensure_redis():
        log.write("redis", "none is set in [redis] url: started an embedded one")
    _note_others(config, wanted, log)
    fleet.ensure(wanted)
    log.write("up", f"started {', '.join(wanted)}; Ctrl-C ends all")
    if "flower" in wanted:
        log.write("up", f"the dashboard: {local_url(config, 'flower')}")
    if "web" in wanted:
        log.write("up", f"the pages: {config.web.url or local_url(config, 'web')}")
    trouble: str | None = None
    while True:
        time.sleep(LOOK_SECONDS)
        before, trouble = trouble, None
        try:
            if fleet.ensure_redis():
                log.write("redis", "started again; what was in it is found again")
        except (PatchsyncError, OSError) as error:
            trouble = str(error)
        if trouble != before:
            log.write("redis", trouble or "answers again")
        try:
            fleet.ensure(wanted)
        except (PatchsyncError, OSError) as error:
            log.write("up", f"cannot start what ended: {error}")
            time.sleep(AGAIN_SECONDS)


def _note_others(config: Config, wanted: tuple[str, ...], log: _Log) -> None:
    alive = Heartbeats(redis.Redis.from_url(config.redis_url), config.namespace).alive()
    for member in alive:
        if member.service in wanted:
            log.write(
                "up",
                f"note: {member.service} runs already, as process {member.pid} on {member.host}; "
                "more of them do no harm",
            )


class _Log:
    """One log of all: a line of each as it comes, whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, service: str, line: str) -> None:
        with self._lock:
            echo(f"{service:<{WIDTH}} | {line}")

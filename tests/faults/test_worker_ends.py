"""Workers that are asked to end, or killed, in the middle of a task."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from patchsync.fleet.services import SYNC_QUEUES
from tests.faults.conftest import key_of, redis_of
from tests.support.installation import (
    Installation,
    main_process,
    processes_of,
    running_fleet,
    stop_group,
    wait_until,
)

# A request takes so long: a task does not end by itself while a test waits.
LONG = 50.0


def begin_a_long_task(installation: Installation) -> None:
    """Have the probe worker wait for the server."""
    installation.patchwork.control.latency(LONG)
    assert installation.patchsync("enqueue", "fetch.probe", "sample").returncode == 0
    client = redis_of(installation)
    wait_until(lambda: client.hlen(key_of(installation, "unacked")), "it is in hand")


def test_sigterm_puts_a_long_task_back(installation: Installation) -> None:
    """Within the time that Docker gives a worker; nobody has to wait until Redis misses it."""
    client = redis_of(installation)
    with running_fleet(installation) as fleet:
        begin_a_long_task(installation)
        os.kill(main_process(installation, "probe"), signal.SIGTERM)
        waits = key_of(installation, "probe")
        wait_until(lambda: client.llen(waits) == 1, "it is put back", LONG - 10)
        assert not client.hlen(key_of(installation, "unacked"))
        installation.patchwork.control.latency(0)
        wait_until(lambda: fleet.ensure(["probe"]), "it has ended, and another one is started")
        wait_until(lambda: "the server has" in installation.logs(), "it is done")


def test_sigterm_while_an_event_cannot_be_sent(installation: Installation) -> None:
    """Redis hangs, and ends, while a worker tells it of its heartbeat: it hears of SIGTERM."""
    with running_fleet(installation):
        wait_until(lambda: installation.logs().count(" ready.") == 3, "they are ready")
        workers = [main_process(installation, service) for service in SYNC_QUEUES]
        server = next(
            pid for pid, line in processes_of(installation).items() if "redis-server" in line
        )
        os.kill(server, signal.SIGSTOP)
        time.sleep(5)  # They send one every two seconds.
        os.kill(server, signal.SIGKILL)
        time.sleep(2)
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        wait_until(lambda: not set(workers) & set(processes_of(installation)), "they have ended")


def test_sighup_starts_a_worker_anew(installation: Installation) -> None:
    """As the same process, which takes tasks again."""
    with running_fleet(installation):
        log = installation.config.run_dir / "index.log"
        wait_until(lambda: log.exists() and log.read_text().count(" ready.") == 1, "it is ready")
        worker = main_process(installation, "index")
        os.kill(worker, signal.SIGHUP)
        wait_until(lambda: log.read_text().count(" ready.") == 2, "it is ready again")
        assert main_process(installation, "index") == worker
        assert "sample: in step" in installation.sync()


def test_a_killed_process_of_a_pool(installation: Installation) -> None:
    """Its task comes again within seconds, not minutes; and a killed worker leaves no files."""
    with running_fleet(installation):
        begin_a_long_task(installation)
        probe = main_process(installation, "probe")
        group = {pid for pid in processes_of(installation) if os.getpgid(pid) == probe}
        for child in group - {probe}:
            with suppress(ProcessLookupError):  # One may end with another one.
                os.kill(child, signal.SIGKILL)
        installation.patchwork.control.latency(0)
        wait_until(lambda: "the server has" in installation.logs(), "the task comes again")
        for service in SYNC_QUEUES:
            stop_group(main_process(installation, service), signal.SIGKILL)
        left = {path.suffix for path in installation.config.run_dir.iterdir()}
        assert left == {".log", ".sock"}

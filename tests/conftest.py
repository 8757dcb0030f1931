"""What all tests share: one Redis and one stand-in for a whole run, and nothing of the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import redis

from patchsync.config import FILE_VARIABLE
from patchsync.fleet.parent_death import die_with_parent
from patchsync.fleet.redis_server import embedded_redis_server
from standin.process import StandinProcess, running_standin
from tests.support.inprocess import Workers
from tests.support.pushing import synced_store

# A seed that fails is tried again by PATCHSYNC_SEED; `make faults` takes another one each time.
SEED = int(os.environ.get("PATCHSYNC_SEED") or 1)

# Many tests write durably, and no disk is on trial here.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30


def usable(folder: Path) -> bool:
    """Whether there is room, and programs may lie there: tests write some."""
    if not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > MEMORY_BYTES


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is made or started."""
    if not hasattr(config, "workerinput"):
        # The processes of a run would only say that there is nothing to do.
        for name in config.args:
            path = config.invocation_params.dir / name.partition("::")[0]
            if not path.exists():
                raise pytest.UsageError(f"there is no {name}; in ARGS, quote what has spaces")
    # In the background of a shell, or under nohup, they are ignored; so would our children do.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A run under nohup goes on when its terminal is closed; what it starts does as it would.
    signal.signal(signal.SIGHUP, lambda *_: None)
    if usable(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_report_header() -> str:
    """Said at the start of each run."""
    return f"PATCHSYNC_SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long the tests of each folder took, one after the other, so that growth is seen."""
    seconds: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = "/".join(report.nodeid.split("/")[:2])
                seconds[folder] += report.duration
                number[folder] += report.when == "call"
    for folder in sorted(seconds):
        took = f"{number[folder]} tests, {seconds[folder]:.0f} s in all processes"
        terminalreporter.write_line(f"{folder}: {took}")
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"What chance chose is chosen again by PATCHSYNC_SEED={SEED}")


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Chance, other for each test, the same in each run with the same seed."""
    print(f"PATCHSYNC_SEED={SEED}")
    return Random(f"{SEED} {request.node.nodeid}")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's environment reaches a test."""
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    monkeypatch.delenv("PATCHWORK_TOKEN", raising=False)


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[redis.Redis]:
    """A Redis for the whole run."""
    # Not below pytest's own folder: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        socket = Path(folder) / "redis.sock"
        command = [embedded_redis_server(), "--port", "0", "--unixsocket", str(socket)]
        with subprocess.Popen(
            die_with_parent([*command, "--save", "", "--dir", folder]), stdout=subprocess.DEVNULL
        ) as server:
            while not socket.exists():
                assert server.poll() is None, "Redis does not start"
                time.sleep(0.01)
            with redis.Redis(unix_socket_path=str(socket)) as client:
                yield client
            server.kill()


@pytest.fixture(scope="session")
def shared_standin() -> Iterator[StandinProcess]:
    """A stand-in Patchwork for the whole run; `patchwork` has it as new."""
    with running_standin("--patches", "0") as standin:
        yield standin


@pytest.fixture(scope="session")
def session_workers(shared_redis: redis.Redis) -> Iterator[Workers]:
    """As `workers`, for what is made once for many tests; Redis is emptied by each of these."""
    path = shared_redis.connection_pool.connection_kwargs["path"]
    workers = Workers(redis_url=f"unix://{path}")
    yield workers
    for folder in workers.run_dirs:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def synced(
    tmp_path_factory: pytest.TempPathFactory,
    shared_standin: StandinProcess,
    session_workers: Workers,
) -> Path:
    """A store in step with the shared stand-in, to be copied: `pushing.placed_store`."""
    return synced_store(tmp_path_factory.mktemp("synced"), shared_standin, session_workers)


@pytest.fixture
def workers(shared_redis: redis.Redis, session_workers: Workers) -> Workers:
    """The fleet in this process, and an empty Redis."""
    shared_redis.flushall()
    return Workers(redis_url=session_workers.redis_url, run_dirs=session_workers.run_dirs)

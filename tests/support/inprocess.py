"""The fleet without processes: a task that is sent is run at once, by the one who sends it.

Task bodies are called as functions, their arguments as JSON would bring them. What is sent is
recorded; a task whose service does not run waits. Who sleeps wakes at once, at a later time; but
not the rate limit, whose time is that of Redis.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock
from uuid import uuid4

from click.testing import CliRunner
from kombu.utils import json

from patchsync.config import FILE_VARIABLE, Config
from patchsync.errors import GiveUp, LockHeld, PatchsyncError, StaleWriter
from patchsync.fleet.redis_server import redis_trouble
from patchsync.push.service import PushService


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message: the task's name without `workers.`, its arguments, and how it was sent."""

    task: str
    args: list[Any]
    options: Mapping[str, Any]

    @property
    def queue(self) -> str:
        """The service that takes it."""
        return {"fetch.probe": "probe", "fetch.audit": "probe"}.get(
            self.task, self.task.partition(".")[0]
        )


class Clock:
    """Stands for the module `time` where the code waits: nobody does, but the time is over."""

    def __init__(self) -> None:
        self._passed = 0.0

    def sleep(self, seconds: float) -> None:
        """As if so long had passed."""
        self._passed += seconds
        time.sleep(0)

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._passed

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic() + self._passed

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@dataclass
class Workers:
    """The services that run, and all that was sent."""

    redis_url: str = ""
    services: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    waiting: deque[Sent] = field(default_factory=deque)
    # As `sent`, also where a test has forgotten that
    ever_sent: list[Sent] = field(default_factory=list)
    # What another writer kept waiting; tried again when something else is sent
    later: list[Sent] = field(default_factory=list)
    log: StringIO = field(default_factory=StringIO)
    run_dirs: set[Path] = field(default_factory=set)
    _busy: bool = False

    def send_task(
        self, name: str, args: Iterable[Any] = (), kwargs: object = None, **options: Any
    ) -> SimpleNamespace:
        """As `Celery.send_task`."""
        assert not kwargs, f"{name} is sent with keywords"
        args = json.loads(json.dumps(list(args or ())))
        message = Sent(task=name.removeprefix("workers."), args=args, options=options)
        self.sent.append(message)
        self.ever_sent.append(message)
        self.waiting.append(message)
        self.work()
        return SimpleNamespace(id=str(uuid4()))

    def work(self) -> None:
        """Run what waits for a service that runs, and what that sends; the oldest first."""
        if self._busy:
            return
        self._busy = True
        self.waiting.extend(self.later)
        self.later.clear()
        try:
            while message := next((m for m in self.waiting if m.queue in self.services), None):
                self.waiting.remove(message)
                self._run(message)
        finally:
            self._busy = False

    def _run(self, message: Sent) -> None:
        from workers.celery import app

        try:
            app.tasks[f"workers.{message.task}"](*message.args)
        except (LockHeld, StaleWriter):
            self.later.append(message)
        except PatchsyncError:
            return  # It is logged, and shows in `patchsync status`.

    def of(self, task: str) -> list[Sent]:
        """The messages of a task."""
        return [message for message in self.sent if message.task == task]

    @contextmanager
    def running(self, *services: str) -> Iterator[Self]:
        """Have these services run; they begin with what waits when the next message is sent."""
        new = set(services) - self.services
        self.services |= new
        try:
            yield self
        finally:
            self.services -= new


class InProcessFleet:
    """As `patchsync.fleet.supervisor.Supervisor`, with `Workers` for its processes."""

    workers: Workers

    def __init__(self, config: Config, on_line: object = None) -> None:
        self._config = config
        self._started: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ensure_redis(self, meanwhile: Iterable[str] = ()) -> bool:
        """Raises GiveUp where Redis does not answer."""
        trouble = redis_trouble(self._config)
        if trouble:
            raise GiveUp(f"[redis] url: {trouble}")
        return False

    def ensure(self, services: Iterable[str]) -> list[str]:
        """Have these run until the end."""
        self._started |= set(services) - self.workers.services
        self.workers.services |= self._started
        self.workers.work()
        return []

    def kill(self) -> None:
        """Have them end."""
        self.workers.services -= self._started

    stop = kill

    def logs(self) -> list[Path]:
        """No files."""
        return []

    def remove_files(self) -> None:
        """There are none."""


def _forget_everything() -> None:
    """As a process that starts: no configuration, no connection."""
    from workers import context

    for cached in (
        *(context.config, context.redis_client, context.limiter, context.client),
        *(context.index_queue, context.annotator, context.signing_key),
    ):
        cached.cache_clear()


@contextmanager
def process_of_its_own(config: Config, workers: Workers) -> Iterator[None]:
    """What is done within is done as in a process that was started for it."""
    from patchsync.cli.main import COMMANDS, load_command
    from workers.celery import app

    for name in COMMANDS:
        load_command(name)
    environment, directory = dict(os.environ), tempfile.tempdir
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    os.environ[FILE_VARIABLE] = str(config.source)
    app.loader.import_default_modules()
    log = logging.StreamHandler(workers.log)
    log.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    clock = Clock()
    InProcessFleet.workers = workers
    with ExitStack() as stack:
        patch = mock.patch.object
        stack.enter_context(patch(app, "send_task", workers.send_task))
        # The default was bound before there was another clock.
        stack.enter_context(patch(PushService.__init__, "__defaults__", (clock.time,)))
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in ("patchsync", "workers") and "standin" not in name:
                if vars(module).get("time") is time:
                    stack.enter_context(patch(module, "time", clock))
                if name.startswith("patchsync.cli.") and "Supervisor" in vars(module):
                    stack.enter_context(patch(module, "Supervisor", InProcessFleet))
        logger = logging.getLogger("workers")
        level = logger.level
        logger.addHandler(log)
        logger.setLevel(logging.INFO)
        _forget_everything()
        try:
            yield
        finally:
            _forget_everything()
            logger.removeHandler(log)
            logger.setLevel(level)
            tempfile.tempdir = directory
            os.environ.clear()
            os.environ.update(environment)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            workers.run_dirs.add(config.run_dir)


def run_command(
    config: Config, workers: Workers, arguments: Iterable[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A `patchsync` command in this process, as one of its own would end."""
    from patchsync.cli import main

    line = ["-c", str(config.source), *arguments]
    with process_of_its_own(config, workers):
        os.environ.update(environment)
        done = CliRunner().invoke(main, line, prog_name="patchsync")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(line, done.exit_code, done.stdout, done.stderr)

"""A folder with a configuration, and the command line as a user would call it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from patchsync.config import Config, load
from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.support.inprocess import Workers, run_command

COMMAND_SECONDS = 120


@dataclass(frozen=True)
class Installation:
    """A folder with a configuration, as somebody has who uses patchsync."""

    patchwork: StandinProcess
    config: Config
    # Run its tasks and commands in this process; without them each is a process of its own
    workers: Workers | None = None

    @property
    def file(self) -> Path:
        """The configuration file."""
        return self.config.source

    def command(self, *arguments: str) -> list[str]:
        """A `patchsync` command with this configuration."""
        program = str(Path(sys.executable).with_name("patchsync"))
        return [program, "-c", str(self.file), *arguments]

    def patchsync(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a `patchsync` command to its end."""
        if self.workers:
            return run_command(self.config, self.workers, arguments, environment)
        return self.process(*arguments, **environment)

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The same as a child process, in any case."""
        return subprocess.run(
            self.command(*arguments),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def changed(self, old: str, new: str) -> Installation:
        """The same with another text in its configuration."""
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))
        return replace(self, config=load(self.file))

    def sync(self) -> str:
        """`patchsync sync`, which must succeed; returns what it said."""
        done = self.patchsync("sync")
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def status(self, project: str) -> dict[str, Any]:
        """What `patchsync status --json` says of one project."""
        # It only reads, so it may be asked often.
        arguments = ("status", "--json", "--project", project)
        done = run_command(self.config, self.workers or Workers(), arguments, {})
        (found,) = json.loads(done.stdout)["projects"]
        assert isinstance(found, dict)
        return found

    def lines(self, project: str) -> list[str]:
        """The lines of PaStA's index."""
        site = find_project(self.config, project)
        assert site is not None, f"{project} has no place in the store"
        return site.paths.index.read_text().splitlines()

    def ids(self, project: str) -> set[int]:
        """The patchwork ids in PaStA's index, each of which must stand there once."""
        ids = [int(line.split(" ")[3]) for line in self.lines(project)]
        assert len(ids) == len(set(ids)), "a patch has two lines"
        return set(ids)

    def logs(self) -> str:
        """What the workers wrote."""
        if self.workers:
            return self.workers.log.getvalue()
        return "\n".join(log.read_text() for log in sorted(self.config.run_dir.glob("*.log")))

    def assert_mirrors(self, project: str) -> None:
        """Each patch that the server lists is in the index once, and its file is what it serves."""
        site = find_project(self.config, project)
        assert site is not None
        entries = {int(line.split(" ")[3]): line.split(" ") for line in self.lines(project)}
        assert self.ids(project) >= set(self.patchwork.control.ids(project))
        # Connections are kept: each would cost as much as what is asked for.
        with requests.Session() as session:
            session.trust_env = False
            for number in self.patchwork.control.ids(project):
                date, _, md5, _ = entries[number]
                content = site.paths.mail(date, md5).read_bytes()
                assert hashlib.md5(content).hexdigest() == md5
                served = session.get(f"{self.patchwork.url}/patch/{number}/mbox/", timeout=10)
                assert content == served.content + b"\n"


def configured(
    folder: Path,
    patchwork: StandinProcess,
    extra: str = "",
    name: str | None = None,
    workers: Workers | None = None,
) -> Installation:
    """An installation in `folder` for the stand-in's two projects.

    `workers`: with a Redis that is there already, for what is done in this process.
    """
    if workers and "[redis]" not in extra:
        extra += f'\n[redis]\nurl = "{workers.redis_url}"\n'
    file = folder / "patchsync.toml"
    file.write_text(
        f"""
        {f'name = "{name}"' if name else ""}
        [mbox.patchwork]
        url = "{patchwork.url}/api/"
        projects = [{{ id = "sample" }}, {{ id = "neighbour" }}]
        {extra}
        """
    )
    return Installation(patchwork, load(file), workers)


@contextmanager
def running_fleet(installation: Installation) -> Iterator[Supervisor]:
    """Redis and a worker per queue, as processes; all is killed when the test is through."""
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(SYNC_QUEUES)
        yield fleet
        fleet.kill()


def processes_of(installation: Installation) -> dict[int, str]:
    """The command lines of the running processes that were started for this installation."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            # Redis writes its title over its environment; its socket stands in the title.
            ours = os.fsencode(installation.file) in environment
            ours |= str(installation.config.run_dir) in command
            if ours and int(folder.name) != os.getpid():
                found[int(folder.name)] = command
    return found


def main_process(installation: Installation, service: str) -> int:
    """The main process of a worker, or of beat; it leads its group."""
    word = "beat" if service == "beat" else f"worker -Q {service}"
    (leader,) = (
        pid
        for pid, line in processes_of(installation).items()
        if f" {word} " in line and os.getpgid(pid) == pid
    )
    return leader


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Poll for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.05)


def stop_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all its children; ours lead their own groups."""
    os.killpg(pid, number)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

"""A stand-in Patchwork, a configuration, and the command line as a user would call it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from patchsync.config import Config, load
from patchsync.fleet import Fleet
from patchsync.services import SYNC_QUEUES
from patchsync.sites import find_site
from patchsync.standin.process import StandinProcess, running_standin

PATCHES = 120
SYNC_SECONDS = 120


@dataclass(frozen=True)
class Installation:
    """A folder with a configuration, as somebody has who uses patchsync."""

    patchwork: StandinProcess
    config: Config

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
        return subprocess.run(
            self.command(*arguments),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=SYNC_SECONDS,
            check=False,
        )

    def sync(self) -> str:
        """`patchsync sync`, which must succeed; returns what it said."""
        done = self.patchsync("sync")
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def status(self, project: str) -> dict[str, Any]:
        """What `patchsync status --json` says of one project."""
        done = self.patchsync("status", "--json", "--project", project)
        (found,) = json.loads(done.stdout)["projects"]
        assert isinstance(found, dict)
        return found

    def lines(self, project: str) -> list[str]:
        """The lines of PaStA's index."""
        site = find_site(self.config, project)
        assert site is not None, f"{project} has no place in the store"
        return site.paths.index.read_text().splitlines()

    def ids(self, project: str) -> set[int]:
        """The patchwork ids in PaStA's index, each of which must stand there once."""
        ids = [int(line.split(" ")[3]) for line in self.lines(project)]
        assert len(ids) == len(set(ids)), "a patch has two lines"
        return set(ids)

    def logs(self) -> str:
        """What the workers wrote."""
        return "\n".join(log.read_text() for log in sorted(self.config.run_dir.glob("*.log")))

    def assert_mirrors(self, project: str) -> None:
        """Each patch that the server lists is in the index once, and its file is what it serves."""
        site = find_site(self.config, project)
        assert site is not None
        entries = {int(line.split(" ")[3]): line.split(" ") for line in self.lines(project)}
        assert self.ids(project) >= set(self.patchwork.control.ids(project))
        for number in self.patchwork.control.ids(project):
            date, _, md5, _ = entries[number]
            content = site.paths.mail(date, md5).read_bytes()
            assert hashlib.md5(content).hexdigest() == md5
            served = requests.get(f"{self.patchwork.url}/patch/{number}/mbox/", timeout=10)
            assert content == served.content + b"\n"


def configured(
    folder: Path, patchwork: StandinProcess, extra: str = "", name: str | None = None
) -> Installation:
    """An installation in `folder` for the stand-in's two projects."""
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
    return Installation(patchwork, load(file))


@contextmanager
def running_fleet(installation: Installation) -> Iterator[Fleet]:
    """Redis and a worker per queue, as processes."""
    with Fleet(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(SYNC_QUEUES)
        yield fleet


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


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Poll for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.05)


def stop_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all its children; ours lead their own groups."""
    os.killpg(pid, number)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's environment reaches a test."""
    monkeypatch.delenv("PATCHSYNC_CONFIG", raising=False)
    monkeypatch.delenv("PATCHWORK_TOKEN", raising=False)


@pytest.fixture
def patchwork() -> Iterator[StandinProcess]:
    """A stand-in Patchwork with two projects of generated patches."""
    with running_standin("--patches", str(PATCHES)) as standin:
        yield standin


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """A configuration for the stand-in's projects, with an empty store."""
    return configured(tmp_path, patchwork)

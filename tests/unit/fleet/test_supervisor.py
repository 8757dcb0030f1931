"""A fleet's processes: what ends is started again, not too often; nothing goes on without us."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.fleet import supervisor as module
from patchsync.fleet.services import SERVICES, wanted_services
from patchsync.fleet.supervisor import Supervisor


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Any configuration."""
    file = tmp_path / "patchsync.toml"
    file.write_text("[mbox.patchwork]\nurl = 'http://127.0.0.1:1'\nproject_ids = [1]\n")
    return load(file)


@pytest.fixture
def lines() -> list[str]:
    """What the processes and the fleet said."""
    return []


@pytest.fixture
def fleet(config: Config, lines: list[str]) -> Iterator[Supervisor]:
    """A fleet whose lines are collected."""
    with Supervisor(config, lambda service, line: lines.append(f"{service}: {line}")) as fleet:
        yield fleet


def becomes(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let every service be this Python program."""
    command = [sys.executable, "-c", program]
    monkeypatch.setattr(module, "service_command", lambda *_: list(command))


class Clock:
    """Time that passes only for who adds to it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_what_ends_soon_again_and_again_is_left_for_longer_each_time(
    fleet: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first few starts come at once, then after 1 s, 2 s, 4 s and so on."""
    becomes(monkeypatch, "raise SystemExit(3)")
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    for pause in (0, 0, 0, 1, 2):
        if pause:
            assert fleet.ensure(["beat"]) == []
            clock.now += pause - 0.01
            assert fleet.ensure(["beat"]) == []
            clock.now += 0.02
        assert fleet.ensure(["beat"]) == ["beat"]
        fleet._services["beat"].process.wait()
    ended = "beat: this process ended (exit status 3); it is started again"
    assert lines == [f"{ended} {when}" for when in ("now", "now", "in 1 s", "in 2 s")]
    clock.now += 3600
    assert fleet.ensure(["beat"]) == ["beat"]
    assert lines[4:] == [f"{ended} now"], "it lived for long"


def test_the_folder_may_have_been_removed(
    fleet: Supervisor, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another fleet that ended, or a cleaner of /tmp, does not keep us from starting."""
    becomes(monkeypatch, "import time; time.sleep(60)")
    config.run_dir.rmdir()
    assert fleet.ensure(["beat"]) == ["beat"]


@pytest.mark.parametrize("service", SERVICES)
def test_only_push_inherits_the_token(
    fleet: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """No other writes to Patchwork, and reading needs none; by whichever name it is set."""
    names = ["PATCHWORK_TOKEN", "PATCHSYNC_MBOX__PATCHWORK__TOKEN"]
    for name in names:
        monkeypatch.setenv(name, "secret")
    program = f"import os, time; print([os.environ.get(n) for n in {names}], flush=True)"
    becomes(monkeypatch, f"{program}; time.sleep(60)")
    fleet.ensure([service])
    deadline = time.monotonic() + 60
    while not lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert lines == [f"{service}: {['secret' if service == 'push' else None] * 2}"]


@pytest.mark.parametrize(
    ("tables", "idle"),
    [
        ("", {"push"}),
        ("[push]\nsinks = ['check']\n", set()),
        ("[analysis]\nengine = 'none'\n", {"push", "analyse"}),
    ],
)
def test_what_has_nothing_to_do_is_not_started(config: Config, tables: str, idle: set[str]) -> None:
    """By `patchsync up`, which starts all others anyway."""
    config.source.write_text(config.source.read_text() + tables)
    assert set(wanted_services(load(config.source))) == set(SERVICES) - idle


PARENT = """
import sys, time
from patchsync.config import load
from patchsync.fleet import supervisor
supervisor.service_command = lambda *_: ["sleep", "60"]
ours = supervisor.Supervisor(load(sys.argv[1]), lambda *_: None)
ours.ensure(["beat"])
print(ours._services["beat"].process.pid, flush=True)
time.sleep(60)
"""


def test_a_killed_parent_takes_its_children_with_it(config: Config) -> None:
    """However it ends, also by SIGKILL."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(config.source)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{parent.stdout.readline().strip()}/cmdline")
        deadline = time.monotonic() + 60
        try:
            while not child.read_bytes().startswith(b"sleep"):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            parent.kill()
    with suppress(OSError):  # It is gone.
        while child.read_bytes():
            assert time.monotonic() < deadline, "the child goes on"
            time.sleep(0.01)

"""A second machine with nothing but `fetch`: Redis and Patchwork by network, no store."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patchsync.fleet.redis_server import embedded_redis_server
from tests.deploy.machines import FIRST, Machine, NoMachines, two_machines

PATCHES = 60
REDIS_PORT, PATCHWORK_PORT = 6379, 8000
SECONDS = 120.0
# The stand-in listens on the loopback, which the other machine cannot reach.
STANDIN = f"import standin.__main__ as it; it.LOOPBACK = {FIRST!r}; it.main()"
PATCHSYNC = str(Path(sys.executable).with_name("patchsync"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: a socket's path would have to fit below it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as name:
        yield Path(name)


@pytest.fixture
def machines(folder: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two machines and the cable between them; they end before their folder is removed."""
    # Only what they raise before the test begins is theirs.
    entering = two_machines()
    try:
        pair = entering.__enter__()
    except NoMachines as obstacle:
        pytest.skip(f"this machine lets no second one be made: {obstacle}")
    try:
        yield pair
    finally:
        entering.__exit__(None, None, None)


def configured(file: Path, store: Path) -> Path:
    """A configuration for the stand-in and Redis of the first machine."""
    file.write_text(
        f"""
        [mbox.patchwork]
        url = "http://{FIRST}:{PATCHWORK_PORT}/api/"
        projects = [{{ id = "sample" }}, {{ id = "neighbour" }}]
        [patchwork]
        requests_per_second = 0
        requests_per_day = 0
        [redis]
        url = "redis://{FIRST}:{REDIS_PORT}/0"
        [store]
        mbox = "{store}"
        [analysis]
        engine = "none"
        [schedule]
        probe_seconds = 2
        """
    )
    return file


def status(machine: Machine, config: Path) -> tuple[bool, dict[str, Any]]:
    """Whether all is in step, and what `patchsync status` says."""
    done = machine.run(PATCHSYNC, "-c", str(config), "status", "--json")
    return done.returncode == 0, json.loads(done.stdout)


def eventually(what: str, true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.2)


def test_a_second_machine_fetches_with_nothing_of_the_store(
    machines: tuple[Machine, Machine], folder: Path
) -> None:
    """All patches come by the only `fetch`, which is on a machine that has, and makes, no store."""
    first, second = machines
    here = configured(folder / "first.toml", folder / "store")
    there = configured(folder / "second.toml", folder / "no-such-folder/mbox")
    temporary = {machine.name: folder / f"tmp-{machine.name}" for machine in machines}
    for each in temporary.values():
        each.mkdir()
    redis = f"--bind {FIRST} --port {REDIS_PORT} --protected-mode no --loglevel warning"
    first.start(embedded_redis_server(), *redis.split(), "--save", "", "--dir", str(folder))
    client = embedded_redis_server().removesuffix("server") + "cli"
    eventually("Redis answers", lambda: first.run(client, "-h", FIRST, "ping").stdout == "PONG\n")
    standin = f"--port {PATCHWORK_PORT} --patches {PATCHES}"
    first.start(sys.executable, "-c", STANDIN, *standin.split())
    for service in ("probe", "index", "beat"):
        first.start(PATCHSYNC, "-c", str(here), "run", service, TMPDIR=str(temporary["first"]))
    second.start(PATCHSYNC, "-c", str(there), "run", "fetch", TMPDIR=str(temporary["second"]))

    eventually("all is in step", lambda: status(first, here)[0])
    _, told = status(first, here)
    stored = {each["link_name"]: each["ours"]["stored"] for each in told["projects"]}
    assert stored == {"sample": PATCHES - PATCHES // 3, "neighbour": PATCHES // 3}
    hosts = {each["service"]: each["host"] for each in told["fleet"]["members"]}
    assert hosts == {"probe": "first", "index": "first", "beat": "first", "fetch": "second"}
    assert not (folder / "no-such-folder").exists()
    written = sorted(each.name for each in (folder / "store").iterdir())
    assert written == ["index", "patchsync", "raw"]

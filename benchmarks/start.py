"""How soon a sync and a fleet are at work, what they take of memory, and the CPU of small commands.

python benchmarks/start.py --beside ../other/.venv/bin/python    another tree, in turn with this one
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

import click
import redis
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import FILE_VARIABLE, Config, load
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.services import HEALTH_PATHS, wanted_services
from patchsync.fleet.supervisor import Supervisor
from standin.process import StandinProcess, running_standin

# What is run in turn, and whether Redis answers
COMMANDS: dict[str, tuple[list[str], bool]] = {
    "import cli": (["python", "-c", "import patchsync.cli"], True),
    "--help": (["patchsync", "--help"], True),
    "health, alive": (["patchsync", "health", "fetch"], True),
    "health, not alive": (["patchsync", "health", "index"], True),
    "health, no Redis": (["patchsync", "health", "fetch"], False),
    "status": (["patchsync", "status"], True),
}
FIRST_REQUEST_SECONDS = 1.5
FROM_NOTHING, NOTHING_NEW = "from nothing", "nothing new"
# What any worker of Celery has to load before it can ask anything
CELERY_ALONE = "Celery loaded, one request"
LOADS_CELERY = """
import celery.apps.worker, celery.concurrency.prefork, celery.worker.consumer
import kombu.transport.redis, requests, sys
requests.get(sys.argv[1])
"""
BESIDE = "the other tree"
SETTLE_SECONDS = 3.0


@click.command(help=__doc__)
@click.option("--beside", metavar="PYTHON", help="Of another tree with its environment.")
@click.option("--runs", default=5, show_default=True, help="Syncs of each kind.")
@click.option("--commands", default=9, show_default=True, help="Runs of each small command.")
@click.option("--patches", default=300, show_default=True, help="In the Patchwork.")
@with_json
def main(beside: str | None, runs: int, commands: int, patches: int, to: Path | None) -> None:
    pythons = {OURS: Path(sys.executable)}
    if beside:
        pythons[BESIDE] = Path(beside).absolute()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_standin("--patches", str(patches)) as patchwork,
    ):
        claims = of_syncs(pythons, patchwork, Path(folder), runs, patches)
        claims.append(of_memory(pythons, patchwork, Path(folder)))
        claims.append(of_commands(pythons, Path(folder), commands))
    report(claims, to)


def of_syncs(
    pythons: dict[str, Path], patchwork: StandinProcess, folder: Path, runs: int, patches: int
) -> list[Claim]:
    """How soon a sync asks, and how long all of it takes."""
    first: dict[tuple[str, str], list[float]] = {}
    whole: dict[tuple[str, str], list[float]] = {}
    for run in range(runs + 1):
        for who, python in pythons.items():
            config = configured(folder / f"sync of {who}", patchwork.url)
            shutil.rmtree(config.d_mbox, ignore_errors=True)
            for case in (FROM_NOTHING, NOTHING_NEW):
                seconds = until_asked(patchwork, [python.with_name("patchsync"), "sync"], config)
                if run:  # In the first one the sources are compiled, and read from the disk.
                    first.setdefault((who, case), []).append(seconds[0])
                    whole.setdefault((who, case), []).append(seconds[1])
        url = f"{patchwork.url}/api/1.3/patches/?per_page=1"
        seconds = until_asked(patchwork, [sys.executable, "-c", LOADS_CELERY, url], config)
        if run:
            for case in (FROM_NOTHING, NOTHING_NEW):
                first.setdefault((CELERY_ALONE, case), []).append(seconds[0])
    slowest = max(median(each) for (who, _), each in first.items() if who == OURS)
    return [
        Claim(
            title="From `patchsync sync` to the first request",
            unit="s",
            wanted=f"under {FIRST_REQUEST_SECONDS} s",
            holds=slowest < FIRST_REQUEST_SECONDS,
            limit=CELERY_ALONE,
            measured=measured(first),
            remarks=("No fleet runs: the command starts Redis, three workers, and stops them.",),
        ),
        Claim(
            title="A whole `patchsync sync` of little",
            unit="s",
            wanted="start, audit of all pages and end, as short as can be",
            holds=None,
            measured=measured(whole),
            remarks=(f"Of {patches} patches by generated mails, on this machine.",),
        ),
    ]


def until_asked(
    patchwork: StandinProcess, command: list[str | Path], config: Config
) -> tuple[float, float]:
    """Seconds from the start of a command to its first request, and to its end."""
    patchwork.control.reset_stats()
    began = time.monotonic()
    subprocess.run(
        command,
        env=environment(config),
        cwd=config.source.parent,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    ended = time.monotonic()
    return patchwork.control.stats()["first"] - began, ended - began


def of_memory(pythons: dict[str, Path], patchwork: StandinProcess, folder: Path) -> Claim:
    """What each service of a whole fleet takes when it idles."""
    found: dict[tuple[str, str], list[float]] = {}
    for who, python in pythons.items():
        config = configured(folder / f"fleet of {who}", patchwork.url)
        for service, size in idle_memory(python, config).items():
            found[who, service] = [size]
    for who in pythons:
        sizes = [size for (of, _), each in found.items() if of == who for size in each]
        found[who, "all"] = [sum(sizes)]
    return Claim(
        title="Memory of a fleet, idle",
        unit="MiB",
        wanted="one process of a kind where one is enough",
        holds=None,
        measured=measured(found),
        remarks=(
            "Proportional set size, with the processes of its pool; beside an empty store, without "
            "Redis.",
            "A worker is a process that talks to Redis and one for each task that it runs at "
            "once, so that a task that hangs, or is killed by a mail, is ended and told.",
        ),
    )


def idle_memory(python: Path, config: Config) -> dict[str, float]:
    """MiB of each service of a fleet, as `patchsync run` starts it."""
    with ExitStack() as stack:
        fleet = stack.enter_context(Supervisor(config))
        fleet.ensure_redis()
        processes = {
            service: stack.enter_context(running(python, service, config))
            for service in wanted_services(config)
        }
        client = stack.enter_context(redis.Redis.from_url(config.redis_url))
        sign_in = processes.keys() - HEALTH_PATHS.keys()
        deadline = time.monotonic() + 60
        while sign_in - {member.service for member in Heartbeats(client, config.namespace).alive()}:
            if time.monotonic() > deadline:
                raise click.ClickException(f"of {sorted(sign_in)} not all sign in")
            time.sleep(0.1)
        time.sleep(SETTLE_SECONDS)
        return {service: group_memory(process.pid) for service, process in processes.items()}


@contextmanager
def running(python: Path, service: str, config: Config) -> Iterator[subprocess.Popen[bytes]]:
    """A service in a group of its own."""
    with subprocess.Popen(
        [python.with_name("patchsync"), "run", service],
        env=environment(config),
        cwd=config.source.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def group_memory(group: int) -> float:
    """MiB of all processes of a group, what they share counted once."""
    kib = 0
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if os.getpgid(int(folder.name)) == group:
                told = re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M)
                kib += int(told[1]) if told else 0
    return kib / 1024


def of_commands(pythons: dict[str, Path], folder: Path, runs: int) -> Claim:
    """The CPU of commands that are started often."""
    found: dict[tuple[str, str], list[float]] = {}
    config = configured(folder / "commands", "http://127.0.0.1:1")
    with Supervisor(config) as fleet:
        fleet.ensure_redis()
        with redis.Redis.from_url(config.redis_url) as client:
            heartbeats = Heartbeats(client, config.namespace)
            for name, (command, redis_answers) in COMMANDS.items():
                for _ in range(runs):
                    heartbeats.note(Member(service="fetch"))
                    for who, python in pythons.items():
                        taken = cpu_seconds(python, command, config, redis_answers)
                        found.setdefault((who, name), []).append(1000 * taken)
        fleet.kill()
    return Claim(
        title="CPU of a small command, from start to end",
        unit="ms",
        wanted="a container's health check runs one each minute: no more than it needs",
        holds=None,
        measured=measured(found),
    )


def measured(found: dict[tuple[str, str], list[float]]) -> tuple[Measured, ...]:
    """Of what was found by (who, case): one case after the other."""
    cases = list(dict.fromkeys(case for _, case in found))
    keys = sorted(found, key=lambda key: cases.index(key[1]))
    return tuple(
        Measured(who=who, case=case, samples=tuple(found[who, case])) for who, case in keys
    )


def configured(folder: Path, url: str) -> Config:
    """A configuration with two projects; nothing is in its store the first time."""
    folder.mkdir(exist_ok=True)
    file = folder / "patchsync.toml"
    if not file.exists():
        file.write_text(
            f'[mbox.patchwork]\nurl = "{url}"\nproject_ids = [1, 2]\n'
            f"[flower]\nport = {free_port()}\n[web]\nport = {free_port()}\n"
        )
    return load(file)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(config: Config) -> dict[str, str]:
    """Ours, with this configuration."""
    # Compiled by the first run, as what is installed is.
    return os.environ | {FILE_VARIABLE: str(config.source), "PYTHONDONTWRITEBYTECODE": ""}


def cpu_seconds(python: Path, command: list[str], config: Config, redis_answers: bool) -> float:
    """User and system time of a command of the environment that `python` is of."""
    program, *arguments = command
    changed = {} if redis_answers else {"PATCHSYNC_REDIS__URL": "unix:///nowhere"}
    with subprocess.Popen(
        [python.with_name(program), *arguments],
        env=environment(config) | changed,
        cwd=config.source.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

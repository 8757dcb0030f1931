"""What a fleet costs with nothing to do: 1, 100 and 500 projects in step with their Patchwork.

python benchmarks/idle.py                        a minute of `patchsync up` as it is by default
python benchmarks/idle.py --projects 250 --seconds 300

The fleets of all sizes run side by side, each with its own Redis and its own sample Patchwork,
which is in the process of this script: of its work nothing is counted. Processes are told apart
by the system's count of each one's CPU, so they may share a machine.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click
import redis
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import FILE_VARIABLE, Config, load
from patchsync.fleet.backpressure import queue_keys
from patchsync.fleet.services import QUEUES, SERVICES
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line
from patchsync.sync.projects import Project, settle
from standin.instance import Standin, add_project, generated
from standin.thread import served

PATCHES = 3  # of a project
DAY = "2026/11/21"
PATIENCE_SECONDS = 120.0
# What Redis and the Patchwork were asked at the start is over when nothing waited for so long.
QUIET_SECONDS = 2.0
MIB = 2**20
PROGRAM = Path(sys.executable).with_name("patchsync")
TICKS = os.sysconf("SC_CLK_TCK")


@click.command(help=__doc__)
@click.option("--projects", multiple=True, default=[1, 100, 500], show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="For so long they are watched.")
@with_json
def main(projects: tuple[int, ...], seconds: float, to: Path | None) -> None:
    with ExitStack() as stack:
        fleets = [stack.enter_context(running(number)) for number in sorted(projects)]
        for fleet in fleets:
            fleet.wait_until_quiet()
        before = [fleet.now() for fleet in fleets]
        time.sleep(seconds)
        used = []
        for fleet, each in zip(fleets, before, strict=True):
            # A round of all that is under way is ended, and counts whole.
            fleet.wait_until_quiet()
            used.append(fleet.now().since(each))
        status = [fleet.status_seconds() for fleet in fleets]
        memory = [fleet.memory() for fleet in fleets]
        redis_memory = [fleet.redis_memory() for fleet in fleets]
    report(claims([fleet.number for fleet in fleets], used, memory, redis_memory, status), to)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a fleet has asked and used: since its start, or in a minute."""

    at: float  # when: seconds since some moment; of what was spent in a minute, 60
    requests: float
    bytes: float
    commands: float  # of Redis
    cpu: dict[str, float]  # seconds, of each service

    def since(self, before: Self) -> Spent:
        """A minute of it."""
        minutes = (self.at - before.at) / 60
        return Spent(
            at=60.0,
            requests=(self.requests - before.requests) / minutes,
            bytes=(self.bytes - before.bytes) / minutes,
            commands=(self.commands - before.commands) / minutes,
            cpu={
                name: (cpu - before.cpu.get(name, 0.0)) / minutes for name, cpu in self.cpu.items()
            },
        )


class Fleet:
    """`patchsync up` of so many projects."""

    def __init__(self, number: int, config: Config, standin: Standin, pid: int) -> None:
        self.number = number
        self._config = config
        self._standin = standin
        self._pid = pid
        self._redis = redis.Redis.from_url(config.redis_url)

    def wait_until_quiet(self) -> None:
        """Return once all projects were looked at, and nothing waits any more."""
        until = time.monotonic() + PATIENCE_SECONDS
        quiet_since = None
        while time.monotonic() < until:
            time.sleep(0.2)
            asked = self._standin.stats.report()["requests"] >= self.number  # type: ignore[operator]
            if not asked or self._waits():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_SECONDS:
                return
        raise click.ClickException(f"{self.number} projects are not in step: see the log above")

    def _waits(self) -> bool:
        space = self._config.namespace
        keys = [key for queue in QUEUES for key in queue_keys(space, queue)]
        with suppress(redis.RedisError):
            return bool(self._redis.exists(*keys, f"patchsync:{space}:unacked"))
        return True

    def now(self) -> Spent:
        """What it has asked and used since its start."""
        stats: dict[str, Any] = self._standin.stats.report()
        cpu: dict[str, float] = defaultdict(float)
        for pid, service in self._processes():
            cpu[service] += _cpu_seconds(pid)
        return Spent(
            at=time.monotonic(),
            requests=stats["requests"],
            bytes=stats["bytes"],
            commands=self._redis.info("stats")["total_commands_processed"],
            cpu=cpu,
        )

    def memory(self) -> dict[str, float]:
        """The memory of each service in bytes; what processes share counts once over all."""
        sizes: dict[str, float] = defaultdict(float)
        for pid, service in self._processes():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            (size,) = (line.split()[1] for line in lines if line.startswith("Pss:"))
            sizes[service] += int(size) * 1024
        return sizes

    def redis_memory(self) -> int:
        """What it keeps there, in bytes."""
        return int(self._redis.info("memory")["used_memory"])

    def status_seconds(self) -> float:
        """CPU of `patchsync status`."""
        environment = os.environ | {FILE_VARIABLE: str(self._config.source)}
        with subprocess.Popen(
            [PROGRAM, "status"], env=environment, stdout=subprocess.DEVNULL
        ) as process:
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
        return usage.ru_utime + usage.ru_stime

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Of the fleet, and of which service."""
        todo = [(self._pid, "up")]
        while todo:
            pid, service = todo.pop()
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                named = [word for word in words if word in SERVICES]
                if any("redis-server" in word or "valkey-server" in word for word in words):
                    named = ["redis"]
                elif "patchsync.web" in words:
                    named = ["web"]
                service = named[0] if named else service
                children = [
                    int(child)
                    for thread in Path(f"/proc/{pid}/task").iterdir()
                    for child in (thread / "children").read_text().split()
                ]
                yield pid, service
                todo += [(child, service) for child in children]


def _cpu_seconds(pid: int) -> float:
    """Of a process and of those of its children that have ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def claims(
    numbers: list[int],
    used: list[Spent],
    memory: list[dict[str, float]],
    redis_memory: list[int],
    status: list[float],
) -> list[Claim]:
    """What it comes to."""
    cases = [f"{number} project{'s'[: number > 1]}" for number in numbers]

    def of(who: str, samples: Iterable[float]) -> tuple[Measured, ...]:
        return tuple(
            Measured(who=who, case=case, samples=(sample,))
            for case, sample in zip(cases, samples, strict=True)
        )

    cpu = [sum(each.cpu.values()) for each in used]
    rounds = [
        1000 * (each.cpu["probe"] - used[0].cpu["probe"]) / (number - numbers[0])
        for each, number in zip(used[1:], numbers[1:], strict=True)
    ]
    return [
        Claim(
            title="Idle: requests",
            unit="requests a minute",
            wanted="one a project, each [schedule] probe_seconds",
            holds=all(
                each.requests <= 1.1 * number + 2
                for each, number in zip(used, numbers, strict=True)
            ),
            measured=of(OURS, [each.requests for each in used]),
            remarks=(
                "Audits, each a request a project and [schedule] audit_seconds, come on top.",
                "Bytes a minute: " + ", ".join(f"{each.bytes / 1000:.0f} kB" for each in used),
            ),
        ),
        Claim(
            title="Idle: CPU",
            unit="s a minute",
            wanted="of all processes, Redis included",
            holds=None,
            measured=of(OURS, cpu),
            remarks=(
                *(
                    f"{case}: " + largest_first(each.cpu, 1, ".2f")
                    for case, each in zip(cases, used, strict=True)
                ),
                *(
                    f"A round of one of {case}: {each:.1f} ms of CPU of its worker"
                    for case, each in zip(cases[1:], rounds, strict=True)
                ),
            ),
        ),
        Claim(
            title="Idle: memory",
            unit="MiB",
            wanted="of all processes; what they share counts once",
            holds=None,
            measured=of(OURS, [sum(each.values()) / MIB for each in memory]),
            remarks=tuple(
                f"{case}: {largest_first(each, MIB, '.0f')}; Redis' data {data / MIB:.2f}"
                for case, each, data in zip(cases, memory, redis_memory, strict=True)
            ),
        ),
        Claim(
            title="Idle: commands to Redis",
            unit="a second",
            wanted="few more with more projects",
            holds=None,
            measured=of(OURS, [each.commands / 60 for each in used]),
        ),
        Claim(
            title="Idle: CPU of `patchsync status`",
            unit="ms of CPU",
            wanted="a few more for each project",
            holds=None,
            measured=of(OURS, [1000 * each for each in status]),
        ),
    ]


def largest_first(figures: dict[str, float], unit: float, digits: str) -> str:
    """The figure of each service, in words."""
    ordered = sorted(figures.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {figure / unit:{digits}}" for name, figure in ordered)


@contextmanager
def running(number: int) -> Iterator[Fleet]:
    """A fleet of so many projects, whose Patchwork is in this process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patchwork(number) as (url, standin),
    ):
        config = configured(Path(folder), url, standin)
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PROGRAM, "-c", str(config.source), "up"], stdout=output, stderr=output
            )
        try:
            yield Fleet(number, config, standin, process.pid)
        except BaseException:
            click.echo(log.read_text()[-4000:], err=True)
            raise
        finally:
            process.terminate()
            process.wait()


@contextmanager
def patchwork(number: int) -> Iterator[tuple[str, Standin]]:
    """A stand-in with so many projects in a thread of this process."""
    standin = generated(0, seed=1)
    standin.state.projects.clear()
    for n in range(number):
        add_project(standin.state, f"list{n}")
    standin.postman.fill([(project, PATCHES) for project in standin.state.projects.values()])
    with served(standin) as url:
        yield url, standin


def configured(folder: Path, url: str, standin: Standin) -> Config:
    """A configuration with all of its projects, and a store that is in step."""
    projects = standin.state.projects.values()
    file = folder / "patchsync.toml"
    file.write_text(
        f'[mbox.patchwork]\nurl = "{url}"\nproject_ids = {[p.link_name for p in projects]}\n'
        f"[patchwork]\nrequests_per_second = 1000\n"
        f"[flower]\nport = {free_port()}\n[web]\nport = {free_port()}\n"
    )
    config = load(file)
    for project in projects:
        paths = ContainerPaths(
            d_mbox=config.d_mbox, listaddr=project.list_email, project_id=project.id
        )
        stored = Project(key=project.link_name, name=project.link_name, paths=paths)
        settle(config, stored)
        paths.index.parent.mkdir(parents=True, exist_ok=True)
        with paths.index.open("wb") as index:
            for patch in standin.state.in_order(project):
                md5 = hashlib.md5(patch.mbox).hexdigest()
                mail = paths.mail(DAY, md5)
                mail.parent.mkdir(parents=True, exist_ok=True)
                mail.write_bytes(patch.mbox)
                index.write(format_line(IndexEntry(patch.id, DAY, patch.msgid, md5)))
        with stored.open():
            pass  # The side index is made, as a sync does.
    return config


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()

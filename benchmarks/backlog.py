"""A large backlog comes in while a small project goes on: how fast, how much memory, how late.

python benchmarks/backlog.py
python benchmarks/backlog.py --patches 100000                    some five minutes
python benchmarks/backlog.py --patches 12000 --window 200 --stop-index 20 --queue-mib 2
python benchmarks/backlog.py --patches 12000 --window 200 --stop-index 20 --queue-mib 4096
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import redis
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import Config, load
from patchsync.fleet.backpressure import IndexQueue
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.leases import Leases
from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.projects import find_project
from standin.process import Control, running_standin

LARGE, SMALL = "sample", "neighbour"
PROBE_SECONDS = 2
NEW_EVERY_SECONDS = 5.0
QUIET_PATCHES = 8
ADDED_AT_ONCE = 1000
MIB = 2**20


@dataclass
class Peaks:
    """The highest of what was seen."""

    queue: int = 0
    redis: int = 0
    in_flight: int = 0
    rss: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def text(self) -> str:
        return f"at most {self.queue / MIB:.1f} MiB in queues, {self.in_flight} pages in flight"


class Watch(threading.Thread):
    """Looks at Redis and the processes again and again."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self.peaks = Peaks()
        self.ended = threading.Event()
        self._config = config
        self._redis = redis.Redis.from_url(config.redis_url)
        self._boards = [
            Leases(self._redis, config.namespace, key, lease_seconds=config.fleet.lease_seconds)
            for key in (LARGE, SMALL)
        ]

    def run(self) -> None:
        backlog = IndexQueue(self._redis, self._config.namespace)
        heartbeats = Heartbeats(self._redis, self._config.namespace)
        peaks = self.peaks
        while not self.ended.wait(0.25):
            with suppress(redis.RedisError):
                peaks.queue = max(peaks.queue, backlog.bytes())
                peaks.redis = max(peaks.redis, self._redis.info("memory")["used_memory"])
                in_flight = sum(board.in_flight() for board in self._boards)
                peaks.in_flight = max(peaks.in_flight, in_flight)
                for member in heartbeats.alive():
                    for size in _rss(member.pid):
                        peaks.rss[member.service] = max(peaks.rss[member.service], size)


def _rss(pid: int) -> list[int]:
    """The memory of a process and of each of its children, in bytes."""
    sizes = []
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (str(pid), *children):
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
    return sizes


class Newcomers(threading.Thread):
    """A new patch in the small project every few seconds, and how long each takes to be stored."""

    def __init__(self, config: Config, control: Control, most: int | None = None) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.ended = threading.Event()
        self._config = config
        self._control = control
        self._most = most

    def run(self) -> None:
        while not self.ended.is_set() and len(self.seconds) != self._most:
            (number,) = self._control.add(SMALL, 1)
            began = time.monotonic()
            while number not in stored(self._config, SMALL):
                time.sleep(0.05)
            self.seconds.append(time.monotonic() - began)
            self.ended.wait(NEW_EVERY_SECONDS if self._most is None else 0.5)


def stored(config: Config, key: str) -> set[int]:
    """The ids in PaStA's index."""
    site = find_project(config, key)
    if site is None or not site.paths.index.exists():
        return set()
    lines = site.paths.index.read_bytes().split(b"\n")[:-1]
    return {int(line.split(b" ")[3]) for line in lines}


def lines(config: Config, key: str) -> int:
    site = find_project(config, key)
    if site is None or not site.paths.index.exists():
        return 0
    return site.paths.index.read_bytes().count(b"\n")


def stop_for(config: Config, seconds: float) -> None:
    """The index worker stands still for a while, after a fifth of that."""
    time.sleep(seconds / 5)
    heartbeats = Heartbeats(redis.Redis.from_url(config.redis_url), config.namespace)
    pids = [member.pid for member in heartbeats.alive() if member.service == "index"]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.killpg(os.getpgid(pid), number)
        if number == signal.SIGSTOP:
            time.sleep(seconds)


@click.command(help=__doc__)
@click.option("--patches", default=12_000, show_default=True, help="Of the large project.")
@click.option("--queue-mib", default=128, show_default=True, help="[fleet] queue_bytes.")
@click.option("--window", default=16, show_default=True, help="[fleet] window, in pages.")
@click.option("--fetch", default=2, show_default=True, help="Processes of the fetch worker.")
@click.option("--rate", default=0.0, help="Requests a second; 0: no limit.")
@click.option("--stop-index", default=0.0, help="Seconds that the index worker stands still.")
@with_json
def main(
    patches: int,
    queue_mib: int,
    window: int,
    fetch: int,
    rate: float,
    stop_index: float,
    to: Path | None,
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_standin("--patches", "0") as patchwork,
    ):
        file = Path(folder) / "patchsync.toml"
        file.write_text(
            f'[mbox.patchwork]\nurl = "{patchwork.url}"\n'
            f'projects = [{{ id = "{LARGE}" }}, {{ id = "{SMALL}" }}]\n'
            f"[patchwork]\nrequests_per_second = {rate}\n"
            f"[fleet]\nqueue_bytes = {queue_mib * MIB}\nfetch_processes = {fetch}\n"
            f"window = {window}\n"
            f"[schedule]\nprobe_seconds = {PROBE_SECONDS}\n"
        )
        config = load(file)
        patchwork.control.add(SMALL, 50)
        with Supervisor(config) as fleet:
            fleet.ensure_redis()
            fleet.ensure([*SYNC_QUEUES, "beat"])
            while lines(config, SMALL) < 50:
                time.sleep(0.1)
            quiet = Newcomers(config, patchwork.control, QUIET_PATCHES)
            quiet.start()
            quiet.join()
        for _ in range(0, patches, ADDED_AT_ONCE):
            patchwork.control.add(LARGE, ADDED_AT_ONCE)
        count = len(patchwork.control.ids(LARGE))
        with Supervisor(config) as fleet:
            fleet.ensure_redis()
            fleet.ensure([*SYNC_QUEUES, "beat"])
            watch, new = Watch(config), Newcomers(config, patchwork.control)
            began = told = time.monotonic()
            watch.start()
            new.start()
            if stop_index:
                threading.Thread(target=stop_for, args=(config, stop_index), daemon=True).start()
            while (have := lines(config, LARGE)) < count:
                time.sleep(0.5)
                if time.monotonic() - told > 15:
                    told = time.monotonic()
                    pace = have / (told - began)
                    click.echo(f"{have} of {count}, {pace:.0f} patches/s; {watch.peaks.text()}")
            seconds = time.monotonic() - began
            new.ended.set()
            new.join()
            watch.ended.set()
            watch.join()
        requests = patchwork.control.stats()["requests"]
    report(claims(count, seconds, requests, watch.peaks, quiet.seconds, new.seconds), to)


def claims(
    count: int,
    seconds: float,
    requests: int,
    peaks: Peaks,
    quiet: list[float],
    meanwhile: list[float],
) -> list[Claim]:
    """What it comes to."""
    case = f"{count:,} patches"
    return [
        Claim(
            title="A backlog",
            unit="patches/s",
            wanted="as fast as the fleet can, while a small project goes on",
            holds=None,
            more_is_better=True,
            measured=(Measured(who=OURS, case=case, samples=(count / seconds,)),),
            remarks=(f"{requests / count:.2f} requests a patch",),
        ),
        Claim(
            title="A new patch of a small project beside it",
            unit="s",
            wanted="stored within seconds, whatever else comes in",
            holds=max(meanwhile) < 30,
            measured=(
                Measured(who=OURS, case="quiet", samples=tuple(quiet)),
                Measured(who=OURS, case=f"beside {case}", samples=tuple(meanwhile)),
            ),
            remarks=(f"with [schedule] probe_seconds = {PROBE_SECONDS}",),
        ),
        Claim(
            title="Memory during a backlog",
            unit="MiB",
            wanted="bounded, however long it is",
            holds=None,
            measured=tuple(
                Measured(who=who, case=case, samples=(size / MIB,))
                for who, size in (("Redis' data", peaks.redis), *sorted(peaks.rss.items()))
            ),
            remarks=(f"the largest process of each service; {peaks.text()}",),
        ),
    ]


if __name__ == "__main__":
    main()

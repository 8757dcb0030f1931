"""From a patch at the server to its line in the index, its group, and what Patchwork shows of it.

python benchmarks/latency.py                                   at rest, and at 50 patches a second
python benchmarks/latency.py --at-rest 200 --seconds 120 --rate 100

A real fleet beside the sample Patchwork. At rest a revision of one patch comes now and then, and a
round is asked for at once: what is measured is all that follows, without the wait for the next
round by the clock ([schedule] probe_seconds). At so many patches a second rounds follow each other
by themselves, and all is measured from the moment at which the server took the patch in.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click
import requests
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import FILE_VARIABLE, TOKEN_VARIABLE, Config, load
from patchsync.fleet.services import QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.push.service import PushService
from patchsync.sync.connect import connect_annotator
from patchsync.sync.projects import find_project
from standin.process import TOKEN, Control, running_standin
from standin.state import SERVER_ZONE

PROJECT = "sample"
# Between two looks at the files: the error of what they tell
LOOK_SECONDS = 0.002
PATIENCE_SECONDS = 60.0
# One patch in so many is a revision of one that is there.
REVISED = 2
INDEX, GROUPS, RELATION, CHECK = "line in the index", "group", "relation shown", "check shown"
STAGES = (INDEX, GROUPS, RELATION, CHECK)
# In the order in which a patch passes them: the task, and whether it began or ended
TASKS = (
    ("fetch.probe", "started"),
    ("fetch.probe", "succeeded"),
    ("fetch.fetch_page", "started"),
    ("fetch.fetch_page", "succeeded"),
    ("index.index_mails", "started"),
    (INDEX, ""),
    ("analyse.update", "started"),
    (GROUPS, ""),
    ("push.plan", "started"),
    ("push.plan", "succeeded"),
    ("push.send", "started"),
    (RELATION, ""),
)


@click.command(help=__doc__)
@click.option("--at-rest", default=20, show_default=True, help="Patches, one at a time.")
@click.option("--rate", default=50.0, show_default=True, help="Patches a second, at work.")
@click.option("--seconds", default=15.0, show_default=True, help="For so long.")
@with_json
def main(at_rest: int, rate: float, seconds: float, to: Path | None) -> None:
    with fleet(at_rest + int(rate * seconds / REVISED) + 1) as bench:
        alone = [one_at_rest(bench) for _ in range(at_rest)]
        claims = [latency(bench, "Latency at rest", alone), where_it_goes(bench, alone)]
        busy = at_work(bench, rate, seconds)
        claims.append(latency(bench, f"Latency at {rate:g} patches a second", busy))
    report(claims, to)


@dataclass
class Bench:
    """A fleet in step with a stand-in, and what was seen when; times in seconds since 1970."""

    config: Config
    control: Control
    url: str
    # Patches that are no revision of another, to be revised
    originals: list[int]
    watch: Watch
    ended: threading.Event
    # When each patch was sent to the server that takes it in
    sent: dict[int, float] = field(default_factory=dict)
    # What workers told: when, the task, what of it
    events: list[tuple[float, str, str]] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(1))

    def revise(self) -> int:
        """A revision of a patch comes in; returns its id."""
        now = time.time()
        (patch_id,) = self.control.revise(self.originals.pop())
        self.sent[patch_id] = now
        return patch_id

    def ask_for_round(self) -> None:
        from workers import enqueue

        enqueue.probe(PROJECT)

    def is_shown(self, patch_ids: list[int]) -> bool:
        """Whether Patchwork shows all of it on these patches."""
        return all(self.shown(each).keys() >= {RELATION, CHECK} for each in patch_ids)

    def shown(self, patch_id: int) -> dict[str, float]:
        """When Patchwork first showed what of a patch, by its own events."""
        found: dict[str, float] = {}
        for category, what in (("patch-relation-changed", RELATION), ("check-created", CHECK)):
            answer = requests.get(
                f"{self.url}/api/1.3/events/",
                {"category": category, "patch": str(patch_id), "order": "date"},
                timeout=60,
            )
            if answer.json():
                date = datetime.fromisoformat(answer.json()[0]["date"]) - SERVER_ZONE
                found[what] = date.replace(tzinfo=UTC).timestamp()
        return found

    def seen(self, patch_id: int) -> dict[str, float]:
        """When each of `STAGES` was seen of a patch."""
        name = self.watch.name_of.get(patch_id, "")
        found = {INDEX: self.watch.lines.get(patch_id), GROUPS: self.watch.names.get(name)}
        return {stage: at for stage, at in found.items() if at} | self.shown(patch_id)


class Watch(threading.Thread):
    """Notes when each line of the index and each name in patch-groups was there."""

    def __init__(self, index: Path, groups: Path, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.lines: dict[int, float] = {}
        self.names: dict[str, float] = {}
        self.name_of: dict[int, str] = {}
        self._index, self._groups, self._ended = index, groups, ended

    def run(self) -> None:
        read, before = 0, None
        while not self._ended.wait(LOOK_SECONDS):
            now = time.time()
            if self._index.stat().st_size > read:
                with self._index.open("rb") as index:
                    index.seek(read)
                    new = index.read()
                new = new[: new.rfind(b"\n") + 1]
                read += len(new)
                for line in new.decode().splitlines():
                    _, name, _, number = line.split(" ")
                    self.lines[int(number)] = now
                    self.name_of[int(number)] = name
            stat = self._groups.stat()
            if (after := (stat.st_ino, stat.st_mtime_ns, stat.st_size)) != before:
                before = after
                for name in self._groups.read_text().split():
                    self.names.setdefault(name, now)


def one_at_rest(bench: Bench) -> int:
    """A revision comes in and is followed until it is shown; returns its id."""
    patch_id = bench.revise()
    bench.ask_for_round()
    wait_until(lambda: bench.is_shown([patch_id]))
    # Not in step with anything that comes again and again
    time.sleep(0.3 + bench.random.random() / 2)
    return patch_id


def at_work(bench: Bench, rate: float, seconds: float) -> list[int]:
    """So many patches a second come in; returns the ids of those that are revisions."""
    revisions: list[int] = []
    began, added = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        if added >= rate * passed:
            time.sleep(0.001)
            continue
        if added % REVISED:
            bench.control.add(PROJECT, 1)
        else:
            revisions.append(bench.revise())
        added += 1
    wait_until(lambda: bench.is_shown(revisions[-20:]), 0.5)
    return revisions


def latency(bench: Bench, title: str, patch_ids: list[int]) -> Claim:
    """What was seen of these patches, as seconds since they were sent to the server."""
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for patch_id in patch_ids:
        for stage, at in bench.seen(patch_id).items():
            taken[stage].append(at - bench.sent[patch_id])
    late = ", ".join(f"{stage} {p99(samples):.2f} s" for stage, samples in taken.items())
    missing = len(patch_ids) - min(map(len, taken.values()))
    rate = len(patch_ids) / (bench.sent[patch_ids[-1]] - bench.sent[patch_ids[0]])
    return Claim(
        title=title,
        unit="s",
        wanted="from a patch at the server until it is there, beyond the poll",
        holds=None,
        measured=tuple(
            Measured(who=OURS, case=stage, samples=tuple(samples))
            for stage, samples in taken.items()
        ),
        remarks=(
            f"99th percentile: {late}",
            f"{len(patch_ids)} patches, {rate:.1f} a second, were revisions and are counted",
            *([f"{missing} were not shown within {PATIENCE_SECONDS:g} s"] if missing else []),
        ),
    )


def p99(samples: list[float]) -> float:
    """The 99th percentile; of fewer than a hundred the longest."""
    return sorted(samples)[min(len(samples) - 1, round(0.99 * len(samples)))]


def where_it_goes(bench: Bench, patch_ids: list[int]) -> Claim:
    """Each part of the way of the patches that came one at a time."""
    parts: dict[str, list[float]] = {}
    for patch_id in patch_ids:
        seen, sent = bench.seen(patch_id), bench.sent[patch_id]
        last = sent
        for what, how in TASKS:
            happened = (at for at, *event in bench.events if event == [what, how] and at > sent)
            now = max(last, seen.get(what) or next(happened, last))
            parts.setdefault(f"{what} {how}".strip(), []).append(1000 * (now - last))
            last = now
    return Claim(
        title="Where the time goes at rest",
        unit="ms",
        wanted="from the part before until that",
        holds=None,
        measured=tuple(
            Measured(who=OURS, case=part, samples=tuple(samples)) for part, samples in parts.items()
        ),
    )


@contextmanager
def fleet(originals: int) -> Iterator[Bench]:
    """A fleet whose store, groups and push are in step with so many patches."""
    os.environ[TOKEN_VARIABLE] = TOKEN
    with (
        tempfile.TemporaryDirectory() as folder,
        running_standin("--patches", "0") as patchwork,
    ):
        file = Path(folder) / "patchsync.toml"
        file.write_text(
            f'[mbox.patchwork]\nurl = "{patchwork.url}"\nprojects = [{{ id = "{PROJECT}" }}]\n'
            "[patchwork]\nrequests_per_second = 10000\nburst = 1000\n"
            '[push]\nsinks = ["check", "relation"]\n'
            "[schedule]\nprobe_seconds = 1\n"
        )
        os.environ[FILE_VARIABLE] = str(file)
        config = load(file)
        known = [patchwork.control.add(PROJECT, 1)[0] for _ in range(originals)]
        with Supervisor(config) as processes:
            processes.ensure_redis()
            processes.ensure([*QUEUES, "beat"])
            wait_until(lambda: lines(config) == originals)
            wait_until(lambda: grouped(config) >= originals)
            agree(config)
            project = find_project(config, PROJECT)
            assert project is not None
            ended = threading.Event()
            watch = Watch(project.paths.index, config.patch_groups, ended)
            watch.start()
            bench = Bench(config, patchwork.control, patchwork.url, known, watch, ended)
            receiver = threading.Thread(target=receive, args=(bench,), daemon=True)
            receiver.start()
            wait_until(lambda: is_settled(config), 0.5)
            try:
                yield bench
            finally:
                bench.ended.set()
                for thread in (watch, receiver):
                    thread.join()
            processes.kill()
        processes.remove_files()


def receive(bench: Bench) -> None:
    """Note what workers tell of their tasks, until the end."""
    from workers.celery import app

    names: dict[str, str] = {}

    def note(event: dict[str, Any]) -> None:
        kind = event["type"].removeprefix("task-")
        if kind == "received":
            names[event["uuid"]] = event["name"].removeprefix("workers.")
        if bench.ended.is_set():
            receiver.should_stop = True
        bench.events.append((event["timestamp"], names.get(event.get("uuid", ""), ""), kind))

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        receiver.capture(limit=None, wakeup=False)


def agree(config: Config) -> None:
    """What somebody does once who answers `patchsync push`."""
    with PushService(config, connect_annotator(config)) as service:
        for _ in service.learn():
            pass
        service.plan()
        service.confirm(set(service.identity.projects))


def is_settled(config: Config) -> bool:
    """Whether nothing is left to be pushed of what was there; else that is asked for."""
    from workers import enqueue

    with PushService(config, connect_annotator(config)) as service:
        pending = service.pending(set(service.identity.projects))
    if pending:
        enqueue.plan(PROJECT)
    return not pending


def lines(config: Config) -> int:
    """How many the index has."""
    project = find_project(config, PROJECT)
    if project is None or not project.paths.index.exists():
        return 0
    return project.paths.index.read_bytes().count(b"\n")


def grouped(config: Config) -> int:
    """How many mails are in groups."""
    file = config.patch_groups
    return len(file.read_text().split()) if file.exists() else 0


def wait_until(is_so: Callable[[], bool], look_seconds: float = 0.05) -> None:
    """Return once it is so, or after `PATIENCE_SECONDS`."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < until:
        time.sleep(look_seconds)


if __name__ == "__main__":
    main()

"""Checks and relations written to Patchwork, beside bare loops that send the same requests.

python benchmarks/pushing.py                                    to the sample Patchwork
python benchmarks/pushing.py --url http://127.0.0.1:8000 --token-file token --project 1   to yours

Checks that are there stay for ever: name a Patchwork and a project that may be littered. What is
timed is sending alone: what is to be sent is planned before, and start and end are excluded.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import local
from typing import NamedTuple

import click
import requests
from claims import OURS, Claim, Measured, report, with_json

from patchsync.analysis.groups import format_group
from patchsync.config import Config, load
from patchsync.patchwork.rate_limit import LocalRateLimiter
from patchsync.push.entries import Sink
from patchsync.push.jobs import Job
from patchsync.push.ledger_file import ledger_path
from patchsync.push.service import PushService
from patchsync.sync.connect import connect_annotator
from patchsync.sync.projects import find_projects
from standin.process import TOKEN, running_standin

SIZE = 3  # revisions in a group
WORKERS, THREADS = 4, 8
BARE, MANY_BARE = "bare loop", f"{THREADS} bare threads"
MANY_OURS = f"patchsync, {WORKERS} workers"
TIMEOUT = 60.0  # seconds of a request
ENOUGH = 0.8  # of the bare loop, for checks


class Write(NamedTuple):
    """A request of a bare loop."""

    method: str
    url: str
    body: Mapping[str, object]


class CountingLimiter(LocalRateLimiter):
    """No limit; counts the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def wait(self, project: str) -> None:
        """See `RateLimiter.wait`."""
        super().wait(project)
        self.requests += 1


@click.command(help=__doc__)
@click.option("--url", help="A Patchwork on this machine; without it, the sample one.")
@click.option("--project", default="sample", show_default=True, help="Number or link name.")
@click.option("--token-file", type=click.Path(exists=True, path_type=Path), help="For writing.")
@click.option(
    "--latency", default=0.02, show_default=True, help="Seconds, of the sample Patchwork."
)
@click.option("--groups", default=60, show_default=True, help=f"Of {SIZE} patches each.")
@click.option("--runs", default=3, show_default=True, help="Of each, in turn.")
@with_json
def main(
    url: str | None,
    project: str,
    token_file: Path | None,
    latency: float,
    groups: int,
    runs: int,
    to: Path | None,
) -> None:
    if url and not token_file:
        raise click.UsageError("to write to a Patchwork wants --token-file")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if url is None:
            arguments = ("--patches", str(groups * SIZE * 2), "--latency", str(latency))
            url = stack.enter_context(running_standin(*arguments)).url
        token = token_file.read_text().strip() if token_file else TOKEN
        bench = Bench(folder, url, project, token, groups)
        found = {sink: bench.measure(sink, runs) for sink in (Sink.CHECK, Sink.RELATION)}
    server = url if token_file else f"the sample Patchwork, which answers after {latency:g} s"
    report([claim(sink, *each, server) for sink, each in found.items()], to)


def claim(
    sink: Sink, rates: Mapping[str, list[float]], per_write: float, server: str | None
) -> Claim:
    """What was found of a sink: writes a second, and requests for each."""
    measured = tuple(
        Measured(who=who, case=f"{sink}s", samples=tuple(each)) for who, each in rates.items()
    )
    medians = {each.who: each.median for each in measured}
    is_check = sink == Sink.CHECK
    return Claim(
        title=f"{sink.capitalize()}s written",
        unit="writes/s",
        wanted=f"at least {ENOUGH} of a bare loop"
        if is_check
        else "as many as the reads before each leave",
        holds=medians[OURS] >= ENOUGH * medians[BARE] if is_check else None,
        limit=BARE,
        more_is_better=True,
        measured=measured,
        remarks=(
            f"to {server}; patchsync: {per_write:.2f} requests a write, by one process",
            "the bare loops read nothing, note nothing, and would write again what is there",
            "a relation is changed by one process at a time: what two would do to one is not known",
        )[: 2 if is_check else 3],
    )


class Bench:
    """A store in step with a Patchwork, and groups of its patches."""

    def __init__(self, folder: Path, url: str, project: str, token: str, groups: int) -> None:
        self._folder, self._url, self._project = folder, url, project
        self._root = f"{url.removesuffix('/').removesuffix('/api')}/api/1.2/patches"
        (folder / "token").write_text(token)
        self._headers = {"Authorization": f"Token {token}"}
        self._written = 0
        config = self._configure([], "")
        program = str(Path(sys.executable).with_name("patchsync"))
        command = [program, "-c", str(config.source), "sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self._ids = self._write_groups(config, groups)

    def measure(self, sink: Sink, runs: int) -> tuple[dict[str, list[float]], float]:
        """Writes a second of each, in turn; and requests for each write of ours."""
        rates: dict[str, list[float]] = {}
        requests_of_ours = writes_of_ours = 0
        for _ in range(runs):
            config, jobs = self._planned(sink)
            bodies = self._bodies(config, sink)
            limiter = CountingLimiter()
            with PushService(config, connect_annotator(config, limiter)) as service:
                limiter.requests = 0
                writes, seconds = send_all(service, jobs)
            assert writes == len(bodies), (writes, len(bodies))
            requests_of_ours += limiter.requests
            writes_of_ours += writes
            rates.setdefault(OURS, []).append(writes / seconds)
            if sink == Sink.CHECK:
                config, jobs = self._planned(sink)
                seconds = send_by_workers(config.source, jobs)
                rates.setdefault(MANY_OURS, []).append(writes / seconds)
            for who, threads in ((BARE, 1), (MANY_BARE, THREADS)):
                self._part(sink)
                seconds = self._send_bare(bodies, threads)
                rates.setdefault(who, []).append(writes / seconds)
            self._part(sink)
        return rates, requests_of_ours / writes_of_ours

    def _configure(self, sinks: Iterable[str], context: str) -> Config:
        file = self._folder / "patchsync.toml"
        names = ", ".join(f'"{each}"' for each in sinks)
        key = self._project if self._project.isdecimal() else f'"{self._project}"'
        check = f'[push.check]\ncontext = "{context}"\n' if context else ""
        file.write_text(
            f'[mbox.patchwork]\nurl = "{self._url}"\nprojects = [{{ id = {key} }}]\n'
            f'token_file = "{self._folder / "token"}"\n[push]\nsinks = [{names}]\n{check}'
        )
        return load(file)

    def _write_groups(self, config: Config, count: int) -> list[int]:
        """So many groups; returns their patches."""
        [project] = find_projects(config)
        with project.open() as container:
            ids = list(container.ids())[: count * SIZE]
            found = container.message_ids(ids)
        names = [found[each] for each in ids]
        groups = [names[at : at + SIZE] for at in range(0, len(names), SIZE)]
        config.patch_groups.write_bytes(b"".join(format_group(each, []) for each in groups))
        return ids

    def _planned(self, sink: Sink) -> tuple[Config, list[Job]]:
        """A new ledger, in which all is to be sent, and as none of it was ever sent."""
        self._written += 1
        config = self._configure([sink], f"bench-{time.time_ns()}-{self._written}")
        path = ledger_path(config)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        with PushService(config, connect_annotator(config, LocalRateLimiter())) as service:
            # Nothing is read of what earlier runs left there.
            service.ledger.set_complete()
            service.plan()
            service.confirm(set(service.identity.projects))
            return config, service.jobs(set(service.identity.projects))

    def _bodies(self, config: Config, sink: Sink) -> list[Write]:
        """What ours would send."""
        writes: dict[object, Write] = {}
        with PushService(config, connect_annotator(config, LocalRateLimiter())) as service:
            for entry in service.pending(set(service.identity.projects)):
                url = f"{self._root}/{entry.patch_id}/"
                if sink == Sink.CHECK:
                    # Patchwork refuses an address that is empty.
                    body = {name: text for name, text in vars(entry.desired).items() if text}
                    body["context"] = f"bare-{config.push.check.context}"
                    writes[entry.patch_id] = Write("POST", f"{url}checks/", body)
                else:
                    related = sorted((entry.desired or set()) - {entry.patch_id})
                    writes.setdefault(entry.desired, Write("PATCH", url, {"related": related}))
        return list(writes.values())

    def _part(self, sink: Sink) -> None:
        """Have no patch related any more; checks stay."""
        if sink == Sink.RELATION:
            alone = {"related": ()}
            self._send_bare(
                [Write("PATCH", f"{self._root}/{each}/", alone) for each in self._ids], THREADS
            )

    def _send_bare(self, writes: list[Write], threads: int) -> float:
        """Seconds of as many loops, each with a connection of its own."""
        own = local()

        def send(write: Write) -> None:
            if not hasattr(own, "session"):
                own.session = requests.Session()
                own.session.headers.update(self._headers)
            demand(own.session.request(write.method, write.url, json=write.body, timeout=TIMEOUT))

        begin = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(send, writes))
        return time.monotonic() - begin


def send_all(service: PushService, jobs: Iterable[Job]) -> tuple[int, float]:
    """How many writes, in how many seconds."""
    begin = time.monotonic()
    writes = sum(outcome.written for job in jobs for outcome in service.do(job))
    return writes, time.monotonic() - begin


def send_by_workers(config: Path, jobs: list[Job]) -> float:
    """Seconds of some processes that share the jobs, as workers of a fleet do."""
    context = multiprocessing.get_context("spawn")
    ready, times = context.Barrier(WORKERS), context.Queue()
    processes = [
        context.Process(target=work, args=(config, jobs[number::WORKERS], ready, times))
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    spans = [times.get(timeout=TIMEOUT) for _ in processes]
    for process in processes:
        process.join()
    return float(max(end for _, end in spans) - min(begin for begin, _ in spans))


def work(file: Path, jobs: list[Job], ready: Barrier, times: Queue[tuple[float, float]]) -> None:
    """What one of them does."""
    config = load(file)
    with PushService(config, connect_annotator(config, LocalRateLimiter())) as service:
        assert service.identity
        ready.wait(TIMEOUT)
        begin = time.monotonic()
        send_all(service, jobs)
        times.put((begin, time.monotonic()))


def demand(response: requests.Response) -> None:
    """Raise where it was not written."""
    response.raise_for_status()


if __name__ == "__main__":
    main()

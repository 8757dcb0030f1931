"""A sync from nothing, beside the same requests by bare threads that store nothing.

python benchmarks/sync.py                                     on the sample Patchwork
python benchmarks/sync.py --url http://127.0.0.1:8000 --project 1      on yours
python benchmarks/sync.py --patches 20000 --rounds 5
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import count as counting
from pathlib import Path

import click
from bare_threads import pull, pull_in_one_thread
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import Config, load
from standin.process import StandinProcess, running_standin

WHOLE = "patchsync, whole command"
ONE_THREAD = "one thread, patch by patch"
WITHOUT = "audit lists all pages"
LATENCIES = (0, 20, 100)
# So many requests at once: of ours, and of the bare threads
WORKERS, DOWNLOADS = 8, 4
THREADS = WORKERS * DOWNLOADS
LIMIT = f"{THREADS} bare threads"
SCALING_LATENCY = 20


@dataclass
class Samples:
    """Patches a second, or requests, by case and who."""

    of: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, case: str, who: str, value: float) -> None:
        self.of.setdefault((case, who), []).append(value)

    def measured(self) -> tuple[Measured, ...]:
        return tuple(
            Measured(who=who, case=case, samples=tuple(samples))
            for (case, who), samples in self.of.items()
        )


@dataclass
class Bench:
    """What is asked, and where the stores are made."""

    folder: Path
    url: str
    project: str
    # None: a Patchwork of the user's
    standin: StandinProcess | None
    _numbers: Iterator[int] = field(default_factory=counting)

    def configured(self, workers: int = WORKERS) -> Config:
        """An empty store of its own. It stays until the end: where many files were just deleted,
        ext4 takes ten times as long to make new ones."""
        folder = self.folder / str(next(self._numbers))
        folder.mkdir()
        file = folder / "patchsync.toml"
        file.write_text(
            f'[mbox.patchwork]\nurl = "{self.url}"\nprojects = [{{ id = "{self.project}" }}]\n'
            "[patchwork]\nrequests_per_second = 0\n"
            f"[fleet]\nfetch_processes = {workers}\ndownloads = {DOWNLOADS}\n"
        )
        return load(file)

    def latency(self, milliseconds: int) -> None:
        if self.standin:
            self.standin.control.latency(milliseconds / 1000)

    def whole_command(self) -> float:
        """Seconds, from its start to its end."""
        config = self.configured()
        program = str(Path(sys.executable).with_name("patchsync"))
        begun = time.monotonic()
        subprocess.run(
            [program, "-c", str(config.source), "sync"], check=True, stdout=subprocess.DEVNULL
        )
        return time.monotonic() - begun

    def sync(self, workers: int = WORKERS, *, sharing: bool = True) -> tuple[float, int]:
        """Seconds from the first message to the agreement, in a fleet that runs; and patches.

        `sharing`: the audit leaves out what the sync listed.
        """
        # In a process of its own: the workers' modules are of one configuration.
        command = [sys.executable, str(Path(__file__).with_name("sync_in_fleet.py"))]
        command += [str(self.configured(workers).source), *([] if sharing else ["--all-pages"])]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, known = json.loads(said)
        return seconds, known

    def lists(self, *, sharing: bool) -> int:
        """How many lists of patches a sync asks for."""
        assert self.standin
        self.standin.control.reset_stats()
        self.sync(sharing=sharing)
        return int(self.standin.control.stats()["kinds"]["patches"])


@click.command(help=__doc__)
@click.option("--url", help="A Patchwork on this machine; without it, the sample one.")
@click.option("--project", default="sample", show_default=True, help="Number or link name.")
@click.option("--patches", default=6000, show_default=True, help="Of the sample; 2/3 in it.")
@click.option("--rounds", default=2, show_default=True, help="Each is one run of each.")
@with_json
def main(url: str | None, project: str, patches: int, rounds: int, to: Path | None) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        standin = None
        if url is None:
            standin = stack.enter_context(running_standin("--patches", str(patches)))
            url = standin.url
        bench = Bench(Path(folder), url, project, standin)
        claims = [speed(bench, rounds)]
        if standin:
            claims += [scaling(bench, rounds), lists(bench)]
    report(claims, to)


def speed(bench: Bench, rounds: int) -> Claim:
    """Ours, whole and without its start, beside the limit and the old way."""
    samples = Samples()
    remarks = [
        f"Both ask {THREADS} at once: patchsync by {WORKERS} fetch processes with {DOWNLOADS} "
        "downloads each, and without the polite pace that another's Patchwork gets.",
        f"The bare threads ask for the same pages and mailboxes and store nothing; `{OURS}` is a "
        "fleet that runs already.",
        f"`{ONE_THREAD}`: the first hundred patches, once.",
    ]
    for milliseconds in LATENCIES if bench.standin else (0,):
        bench.latency(milliseconds)
        case = f"{milliseconds} ms"
        for _ in range(rounds):
            cpu = _cpu_seconds(bench.standin)
            seconds, patches = pull(bench.url, bench.project, THREADS)
            if milliseconds == 0 and bench.standin:
                spent = _cpu_seconds(bench.standin) - cpu
                remarks.append(
                    f"At 0 ms the sample Patchwork, a single process, was itself at work for "
                    f"{spent:.2f} s of the {seconds:.2f} s of the bare threads."
                )
            samples.add(case, LIMIT, patches / seconds)
            seconds, known = bench.sync()
            if known != patches:
                raise click.ClickException(f"{known} patches, but {patches} by bare threads")
            samples.add(case, OURS, known / seconds)
            samples.add(case, WHOLE, patches / bench.whole_command())
        samples.add(case, ONE_THREAD, pull_in_one_thread(bench.url, bench.project))
    claim = Claim(
        title=f"Sync from nothing, {patches:,} patches",
        unit="patches/s",
        wanted="at least 0.9 of the limit from 20 ms of latency on"
        if bench.standin
        else "the whole command at least 0.8 of the limit",
        holds=None,
        measured=samples.measured(),
        limit=LIMIT,
        more_is_better=True,
        remarks=tuple(remarks),
    )
    return _judged(claim, WHOLE if bench.standin is None else OURS)


def _judged(claim: Claim, who: str) -> Claim:
    """The claim, with its verdict."""
    ratios = {}
    for case in claim.cases:
        ours, limit = claim.of(who, case), claim.of(LIMIT, case)
        if ours and limit:
            ratios[case] = ours.median / limit.median
    if who == WHOLE:
        return replace(claim, holds=all(ratio >= 0.8 for ratio in ratios.values()))
    return replace(claim, holds=all(r >= 0.9 for case, r in ratios.items() if case != "0 ms"))


def scaling(bench: Bench, rounds: int) -> Claim:
    """One to eight fetch workers, each beside as many bare threads as it downloads at once."""
    samples = Samples()
    bench.latency(SCALING_LATENCY)
    bare = "as many bare threads"
    for workers in (1, 2, 4, 8):
        case = "1 worker" if workers == 1 else f"{workers} workers"
        for _ in range(rounds):
            seconds, patches = pull(bench.url, bench.project, workers * DOWNLOADS)
            samples.add(case, bare, patches / seconds)
            seconds, known = bench.sync(workers)
            samples.add(case, OURS, known / seconds)
    return Claim(
        title=f"Fetch workers, {SCALING_LATENCY} ms",
        unit="patches/s",
        wanted="more workers, more patches, until the cores are busy",
        holds=None,
        measured=samples.measured(),
        limit=bare,
        more_is_better=True,
        remarks=(
            f"Each worker has {DOWNLOADS} downloads at once. The Patchwork, Redis and all workers "
            "share the cores of this machine.",
        ),
    )


def lists(bench: Bench) -> Claim:
    """What the audit at the end of a sync asks for."""
    bench.latency(0)
    ours, without = bench.lists(sharing=True), bench.lists(sharing=False)
    return Claim(
        title="Lists of patches that a sync from nothing asks for",
        unit="requests",
        wanted="each page once: the audit lists none that the sync listed",
        holds=ours < without,
        measured=(
            Measured(who=OURS, case="from nothing", samples=(ours,)),
            Measured(who=WITHOUT, case="from nothing", samples=(without,)),
        ),
        remarks=("Of both, a few are those that ask for highest and count.",),
    )


def _cpu_seconds(standin: StandinProcess | None) -> float:
    """What a process has used so far."""
    with suppress(OSError):
        if standin:
            stat = Path(f"/proc/{standin.process.pid}/stat").read_text()
            user, system = stat.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


if __name__ == "__main__":
    main()

"""Push plans of few and of many groups: the first one, after ten groups changed, after none did.

python benchmarks/planning.py --large 1000000
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import click
from claims import OURS, Claim, Measured, report, with_json

from patchsync.config import load
from patchsync.patchwork.schemas import User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.identity import Identity, MaintainedProject
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import LedgerFile, ledger_path
from patchsync.push.plan import Planned, plan
from patchsync.store.layout import ContainerPaths
from patchsync.sync.projects import Project, settle

CHANGED = 10
# Mails in four groups: most patches are alone, as on real lists
SIZES = (3, 1, 1, 1)
IDENTITY = Identity(
    user=User(id=1, username="pasta"),
    projects={1: MaintainedProject(key="1", link_name="sample", facts=ProjectFacts())},
)
ROWS = "SQLite: the same rows"
# Of the first plan of 1,000,000 groups
MOST_SECONDS = 30.0
AS_LARGE = 1_000_000
PAUSE = 0.05  # seconds between two writes beside a plan


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Groups.")
@click.option("--large", default=100_000, show_default=True, help="Groups.")
@click.option("--runs", default=1, show_default=True, help="Of each.")
@with_json
def main(small: int, large: int, runs: int, to: Path | None) -> None:
    found: dict[str, list[Measured]] = {}
    peaks = {}
    for groups in (small, large):
        samples: dict[tuple[str, str], list[float]] = {}
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                for key, seconds in measured(Path(folder), groups).items():
                    samples.setdefault(key, []).append(seconds)
        for (what, who), each in samples.items():
            one = Measured(who=who, case=f"{groups:,}", samples=tuple(each))
            found.setdefault(what, []).append(one)
        peaks[groups] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    memory = f"at most {peaks[large]} MiB of memory, {peaks[small]} MiB with {small:,} groups"
    first, blocked, changed, same = (found[what] for what in ("first", "blocked", "ten", "none"))
    most = max(each.median for each in first if each.who == OURS)
    wait = max(each.median for each in blocked)
    report(
        [
            Claim(
                title="First plan of a push",
                unit="s",
                wanted=f"under {MOST_SECONDS:.0f} s for {AS_LARGE:,} groups",
                holds=most < MOST_SECONDS if large >= AS_LARGE else None,
                limit=ROWS,
                measured=tuple(first),
                remarks=(
                    "case: groups, a quarter of them of three mails; checks and relations",
                    f"the limit: no groups read, no mail looked up, no word made; {memory}",
                ),
            ),
            Claim(
                title="Wait of others for the ledger during a first plan",
                unit="s",
                wanted="at most while the plan is taken over, not while groups are read",
                holds=wait < most / 2 if large >= AS_LARGE else None,
                measured=tuple(blocked),
            ),
            Claim(
                title=f"Plan after {CHANGED} groups changed",
                unit="s",
                wanted="what is in proportion to the list is to read and hash its lines",
                holds=None,
                measured=tuple(changed),
            ),
            Claim(
                title="Plan where nothing changed",
                unit="s",
                wanted="nothing in proportion to the list",
                holds=None,
                measured=tuple(same),
                remarks=("patch-groups was written more than two seconds before the last plan",),
            ),
        ],
        to,
    )


def measured(folder: Path, groups: int) -> dict[tuple[str, str], float]:
    """Seconds, by what and whose they are."""
    pushing = Pushing(folder, groups)
    pushing.write(0)
    with longest_wait(pushing.ledger_path) as wait:
        first, planned = pushing.timed()
    pushing.write(1)
    ten, changed = pushing.timed()
    pushing.make_old()
    pushing.timed()
    none, same = pushing.timed()
    assert (planned.groups, changed.groups, same.groups) == (groups, CHANGED, 0)
    return {
        ("first", OURS): first,
        ("first", ROWS): pushing.bare(),
        ("blocked", OURS): wait[0],
        ("ten", OURS): ten,
        ("none", OURS): none,
    }


@contextmanager
def longest_wait(ledger: Path) -> Iterator[list[float]]:
    """Have another process write notes meanwhile; the seconds of the longest one, at the end."""
    ours, others = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_notes, args=(ledger, others))
    process.start()
    ours.recv()
    found: list[float] = []
    try:
        yield found
    finally:
        ours.send(None)
        found.append(ours.recv())
        process.join()


def write_notes(path: Path, asked: Connection) -> None:
    """As a `send` does with claims."""
    longest = 0.0
    with Ledger(path) as ledger:
        ledger.write_notes({"beside": "0"})
        asked.send(None)
        while not asked.poll(PAUSE):
            begin = time.monotonic()
            ledger.write_notes({"beside": str(begin)})
            longest = max(longest, time.monotonic() - begin)
    asked.send(longest)


class Pushing:
    """A store, patch-groups and a ledger."""

    def __init__(self, folder: Path, groups: int) -> None:
        file = folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'
            '[push]\nsinks = ["check", "relation"]\n'
        )
        self._config = load(file)
        self._groups = groups
        d_mbox = self._config.d_mbox
        paths = ContainerPaths(d_mbox=d_mbox, listaddr="list@example.org", project_id=1)
        self._project = Project(key="1", name="sample", paths=paths)
        settle(self._config, self._project)
        paths.index.parent.mkdir(parents=True)
        md5 = hashlib.md5(b"").hexdigest()
        with paths.index.open("w") as index:
            for number in range(groups * sum(SIZES) // len(SIZES)):
                index.write(f"2026/11/21 <{number + 1}@example.org> {md5} {number + 1}\n")
        with self._project.open():
            pass  # The side index is made, as a sync does.
        self._ledger = Ledger(ledger_path(self._config))

    @property
    def ledger_path(self) -> Path:
        return ledger_path(self._config)

    def write(self, version: int) -> None:
        """Write patch-groups; the first ten have that many commits."""
        with self._config.patch_groups.open("w") as output:
            first = 1
            for group in range(self._groups):
                size = SIZES[group % len(SIZES)]
                names = (f"<{first + n}@example.org>" for n in range(size))
                commit = f" => {version:040x}" if version and group < CHANGED else ""
                output.write(" ".join(names) + commit + "\n")
                first += size

    def make_old(self) -> None:
        """As if patch-groups had been written a minute ago."""
        before = time.time() - 60
        os.utime(self._config.patch_groups, (before, before))

    def timed(self) -> tuple[float, Planned]:
        """Seconds of a plan."""
        begin = time.monotonic()
        planned = plan(self._config, self._ledger, [self._project], IDENTITY)
        return time.monotonic() - begin, planned

    def bare(self) -> float:
        """Seconds to insert into an empty ledger what this one has, durably, and nothing else."""
        path = self.ledger_path.with_name("bare.sqlite")
        with LedgerFile(path):
            pass
        with closing(sqlite3.connect(path, isolation_level=None)) as sql:
            sql.execute("ATTACH ? AS planned_by_us", (str(self.ledger_path),))
            begin = time.monotonic()
            sql.execute("BEGIN IMMEDIATE")
            for table in ("entry", "named"):
                sql.execute(f"INSERT INTO main.{table} SELECT * FROM planned_by_us.{table}")
            sql.execute("COMMIT")
            return time.monotonic() - begin


if __name__ == "__main__":
    main()

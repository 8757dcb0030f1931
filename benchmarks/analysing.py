"""A full build of the groups from nothing: by one processor, by all, and by the real PaStA.

The mails are made up, or the commits of a git repository in made-up revisions, or those of a store.
PaStA gets the lists up to `--pasta-most`; of 40,000 mails it has ten minutes on two processors.

python benchmarks/analysing.py --pasta ~/PaStA --pasta-python ~/PaStA/venv/bin/python
python benchmarks/analysing.py --git ~/git --middle 40000 --large 100000
python benchmarks/analysing.py --mbox ~/resources/mbox --profile
"""

from __future__ import annotations

import cProfile
import pstats
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import click
import pygit2
from claims import OURS, Claim, Measured, report, with_json
from patch_mails import mails, mails_of_commits

from patchsync.analysis.builtin import engine as builtin
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.groups import read_content
from patchsync.analysis.update import open_engine
from patchsync.config import Config, load
from patchsync.fleet.processors import processors
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.store.identity import Origin, claim, list_containers
from patchsync.store.layout import ContainerPaths, parse_line
from patchsync.store.writer import StoreWriter

LIST, HOST = "list", "lists.example.org"
CONFIG = """
[mbox.patchwork]
url = "http://127.0.0.1:1"
project_ids = [1]

[push]
groups = "{engine}/patch-groups"

[analysis]
engine = "{engine}"
{pasta}
[analysis.thresholds]
autoaccept = 0.82
interactive = 1.1
diff_lines_ratio = 0.4
heading = 1.0
filename = 1.0
message_diff_weight = 0.3
author_date_interval = 0
"""
PASTA = """
pasta_root = "{root}"
pasta_project = "bench"
pasta_python = "{python}"
"""
PASTA_CONFIG = f"""
[PaStA]
MODE = "mbox"
REPO = "repo"
UPSTREAM = "HEAD"

[mbox.raw."{HOST}"]
{LIST} = ["patchwork.1"]
"""
BUILD = """
import os, sys, time
from patchsync.analysis.update import open_engine
from patchsync.config import load
file, number = sys.argv[1:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(number)])
begin = time.monotonic()
engine = open_engine(load(file), **({} if "pasta" in file else {"rebuild": True}))
engine.update(lambda *_: None)
print(time.monotonic() - begin)
"""
ONE = "patchsync, one processor"
PASTA_ITSELF = "PaStA"
FASTER, MOST_BYTES = 10, 2 * 2**30
AS_MANY = 40_000
LOOK_SECONDS = 0.2


class Took(NamedTuple):
    """What a build cost."""

    seconds: float
    # Of all processes together, at most
    bytes: float


@click.command(help=__doc__)
@click.option("--small", default=1_535, show_default=True, help="Mails of the small list.")
@click.option("--middle", default=10_000, show_default=True, help="Mails of a larger one.")
@click.option("--large", default=0, show_default=True, help="Mails of a third one; 0: none.")
@click.option("--runs", default=3, show_default=True, help="Builds of each; one of the large list.")
@click.option("--git", type=click.Path(path_type=Path), help="A repository: its commits as mails.")
@click.option("--mbox", type=click.Path(path_type=Path), help="A store: its mails, and no others.")
@click.option("--pasta", type=click.Path(path_type=Path), help="PaStA's checkout.")
@click.option("--pasta-python", default=sys.executable, help="Interpreter for it.")
@click.option("--pasta-most", default=10_000, show_default=True, help="Mails that it gets at most.")
@click.option("--profile", is_flag=True, help="Only tell where the time of one process goes.")
@with_json
def main(
    small: int,
    middle: int,
    large: int,
    runs: int,
    git: Path | None,
    mbox: Path | None,
    pasta: Path | None,
    pasta_python: str,
    pasta_most: int,
    profile: bool,
    to: Path | None,
) -> None:
    lists = {number: runs for number in (small, middle) if number}
    if large:
        lists[large] = 1
    if mbox:
        whole = sorted(stored(mbox), key=lambda mail: mail.patch_id)
        lists = {len(whole): runs}
    found: list[dict[str, list[Took]]] = []
    cases, remarks, equal = [], [], True
    for number, times in lists.items():
        stream = iter(whole) if mbox else mails_of_commits(git, number) if git else mails(number)
        with tempfile.TemporaryDirectory() as name:
            bench = Bench(Path(name), pasta if number <= pasta_most else None, pasta_python)
            stored_mails = bench.store(stream)
            if profile:
                bench.profile()
                continue
            found.append(bench.in_turn(times))
            cases.append(f"{stored_mails:,} mails")
            seconds = sorted(each.seconds for each in found[-1][OURS])[times // 2]
            remarks.append(f"{cases[-1]}: {1000 * seconds / stored_mails:.2f} ms a mail")
            if "pasta" in bench.configs:
                same = bench.groups("builtin") == bench.groups("pasta")
                equal = equal and same
                remarks.append(f"{cases[-1]}: the groups are {'equal' if same else 'NOT equal'}")
    if not profile:
        report(claims(cases, found, remarks, equal=equal), to)


def claims(
    cases: list[str], found: list[dict[str, list[Took]]], remarks: list[str], *, equal: bool
) -> list[Claim]:
    """What the builds say."""
    of_all = [
        (who, case, took)
        for case, by_who in zip(cases, found, strict=True)
        for who, took in by_who.items()
    ]
    built = Claim(
        title="A full build of the groups",
        unit="s",
        wanted=f"at least {FASTER} times PaStA's speed on two free processors, the same groups",
        holds=None,
        measured=tuple(
            Measured(who=who, case=case, samples=tuple(each.seconds for each in took))
            for who, case, took in of_all
        ),
        remarks=(f"by {processors()} processors, where no other number stands", *remarks),
    )
    ratios = [built.ratio(each) or 0.0 for each in built.measured if each.who == PASTA_ITSELF]
    memory_of_all = Claim(
        title="Memory of a full build of the groups",
        unit="MiB",
        wanted="under 2 GiB for 40,000 mails on two processors",
        holds=None,
        measured=tuple(
            Measured(who=who, case=case, samples=tuple(each.bytes / 2**20 for each in took))
            for who, case, took in of_all
        ),
        remarks=(
            f"of all processes together, looked at each {LOOK_SECONDS:g} s; what they share counts"
            " once",
        ),
    )
    took_most = max(each.bytes for who, _, took in of_all if who == OURS for each in took)
    if took_most >= MOST_BYTES or any(_number(case) >= AS_MANY for case in cases):
        memory_of_all = replace(memory_of_all, holds=took_most < MOST_BYTES)
    if ratios:
        built = replace(built, holds=equal and ratios[-1] >= FASTER)
    return [built, memory_of_all]


def _number(case: str) -> int:
    """Of the mails of a case."""
    return int(case.split()[0].replace(",", ""))


def stored(mbox: Path) -> Iterator[Mail]:
    """The mails of a store."""
    for container in list_containers(mbox):
        paths = container.paths
        for line in paths.index.read_bytes().splitlines():
            entry = parse_line(line)
            yield Mail(
                patch_id=entry.patch_id,
                message_id=entry.message_id,
                date=entry.date,
                content=paths.mail(entry.date, entry.md5).read_bytes(),
            )


class Bench:
    """A store, and a configuration for each engine."""

    def __init__(self, folder: Path, pasta: Path | None, python: str) -> None:
        self._folder = folder
        self._paths = ContainerPaths(
            d_mbox=folder / "resources/mbox", listaddr=f"{LIST}@{HOST}", project_id=1
        )
        origin = Origin(
            url="http://127.0.0.1:1", project_id=1, link_name=LIST, list_email=f"{LIST}@{HOST}"
        )
        claim(self._paths, origin)
        self.configs = {"builtin": self._config("builtin", "")}
        if pasta:
            root = checkout(folder, pasta.expanduser())
            text = PASTA.format(root=root, python=Path(python).expanduser())
            self.configs["pasta"] = self._config("pasta", text)

    def store(self, some: Iterator[Mail]) -> int:
        """Have these mails in the store; returns how many there are."""
        number = 0
        with StoreWriter(self._paths) as writer:
            while batch := tuple(islice(some, 1000)):
                writer.apply(FetchResult(mails=batch))
                number += len(batch)
        return number

    def in_turn(self, times: int) -> dict[str, list[Took]]:
        """Builds by each of those that are compared; PaStA's only once."""
        took: dict[str, list[Took]] = {OURS: [], ONE: []}
        for _ in range(times):
            took[OURS].append(self._build("builtin", processors()))
            took[ONE].append(self._build("builtin", 1))
        if "pasta" in self.configs:
            took[PASTA_ITSELF] = [self._build("pasta", processors())]
        return took

    def _build(self, engine: str, number: int) -> Took:
        """A build from nothing in a process of its own, by so many processors."""
        command = [sys.executable, "-c", BUILD, str(self.configs[engine].source), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            most = MostBytes(process.pid)
            most.start()
            said, _ = process.communicate()
            most.join()
        if process.returncode:
            raise click.ClickException(f"a build by {engine} ended with {process.returncode}")
        return Took(float(said), most.bytes)

    def groups(self, engine: str) -> bytes | None:
        """What it wrote, less what only PaStA has: its commits that are no mail's."""
        content = read_content(self.configs[engine].patch_groups) or b""
        lines = content.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"=> "))

    def profile(self) -> None:
        """Print where the builtin engine spends a build that one process does, by CPU time."""
        opened = open_engine(self.configs["builtin"])
        assert opened
        profiler = cProfile.Profile(time.process_time)
        with patch.object(builtin, "run_in_child", in_this_process):
            profiler.runcall(opened.update, lambda *_: None)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

    def _config(self, engine: str, pasta: str) -> Config:
        (self._folder / engine).mkdir()
        file = self._folder / f"{engine}.toml"
        file.write_text(CONFIG.format(engine=engine, pasta=pasta))
        return load(file)


class MostBytes(threading.Thread):
    """Looks how much memory a process and all that it started have, until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.bytes = 0

    def run(self) -> None:
        while now := sum(map(memory, family(self._pid))):
            self.bytes = max(self.bytes, now)
            time.sleep(LOOK_SECONDS)


def family(pid: int) -> Iterator[int]:
    """A process, and all that it started."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def memory(pid: int) -> int:
    """Bytes that a process has in memory; what several share is parted between them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


class Unbounded:
    """For work on mails in this process."""

    def take(self, name: str) -> None:
        """Any is welcome."""

    def put_down(self) -> None:
        """It takes what it takes."""

    @contextmanager
    def side_by_side(
        self, work: Callable[[Any, InHand], Iterable[Any]], tasks: Iterable[Any]
    ) -> Iterator[Iterator[Any]]:
        """One after the other."""
        yield (result for task in tasks for result in work(task, self))


def in_this_process(work: Callable[[InHand, OnProgress], Any], on_progress: OnProgress) -> Any:
    """In place of `run_in_child`."""
    return work(Unbounded(), on_progress)


def checkout(folder: Path, pasta: Path) -> Path:
    """A copy of PaStA with a project of our own."""
    root = folder / "checkout"
    shutil.copytree(pasta, root, ignore=shutil.ignore_patterns("resources", ".git"))
    shutil.copytree(pasta / "resources/common", root / "resources/common")
    project = root / "resources/bench"
    project.mkdir()
    (project / "config").write_text(PASTA_CONFIG)
    repository = pygit2.init_repository(project / "repo")
    author = pygit2.Signature("A", "a@example.org")
    repository.create_commit("HEAD", author, author, "Begin", repository.index.write_tree(), [])
    return root


if __name__ == "__main__":
    main()

"""The builtin engine beside the real PaStA: a build from nothing, and one new patch.

Without PaStA's checkout only the builtin engine is timed. Each build is a process of its own; its
memory is that of its largest process.

python benchmarks/analysing.py --pasta ~/PaStA --pasta-python ~/PaStA/venv/bin/python
python benchmarks/analysing.py --mbox ~/resources/mbox     # the mails of a real store
"""

from __future__ import annotations

import cProfile
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click
import pygit2
from patch_mails import mails

from patchsync.analysis.groups import read_content
from patchsync.analysis.update import open_engine
from patchsync.config import Config, load
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
import resource, sys, time
from patchsync.analysis.update import open_engine
from patchsync.config import load
begin = time.monotonic()
open_engine(load(sys.argv[1])).update(lambda *_: None)
seconds = time.monotonic() - begin
whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(seconds, max(resource.getrusage(each).ru_maxrss for each in whose) * 1024)
"""


class Took(NamedTuple):
    """What a build cost."""

    seconds: float
    # Of the largest process
    bytes: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.bytes / 2**30:.2f} GiB"


@click.command(help=__doc__)
@click.option("--small", default=1_535, show_default=True, help="Mails of the small list.")
@click.option("--large", default=40_000, show_default=True, help="Mails of the large list.")
@click.option("--new", default=20, show_default=True, help="Mails that come one by one at the end.")
@click.option("--mbox", type=click.Path(path_type=Path), help="A store, instead of made-up lists.")
@click.option("--pasta", type=click.Path(path_type=Path), help="PaStA's checkout.")
@click.option("--pasta-python", default=sys.executable, help="Interpreter for it.")
@click.option("--profile", is_flag=True, help="Tell where the builtin engine's time goes.")
def main(
    small: int,
    large: int,
    new: int,
    mbox: Path | None,
    pasta: Path | None,
    pasta_python: str,
    profile: bool,
) -> None:
    lists = [list(mails(number)) for number in (small, large)]
    if mbox:
        lists = [sorted(stored(mbox), key=lambda mail: mail.patch_id)]
    for each in lists:
        with tempfile.TemporaryDirectory() as name:
            bench = Bench(Path(name), pasta, pasta_python)
            click.echo(f"{len(each)} mails")
            if profile:
                bench.store(each)
                bench.profile()
            else:
                compare(bench, each, new)


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


def compare(bench: Bench, all_mails: list[Mail], new: int) -> None:
    """Print what the engines need for these mails, and the ratios."""
    bench.store(all_mails[:-new])
    builds = {engine: bench.build(engine) for engine in bench.configs}
    for engine, took in builds.items():
        click.echo(f"  {engine}, from nothing: {took}")
    single = []
    for mail in all_mails[-new:]:
        bench.store([mail])
        single.append(bench.update("builtin"))
    median = statistics.median(single)
    click.echo(
        f"  builtin, one new patch: {1000 * median:.0f} ms in the median,"
        f" {1000 * max(single):.0f} ms at most, of {new}"
    )
    if "pasta" not in builds:
        return
    after = bench.build("pasta").seconds
    click.echo(f"  pasta, {new} new patches at once: {after:.1f} s")
    same = bench.groups("builtin") == bench.groups("pasta")
    click.echo(f"  the groups are {'equal' if same else 'NOT equal'}")
    ours, theirs = builds["builtin"], builds["pasta"]
    click.echo(
        f"  pasta / builtin: from nothing {theirs.seconds / ours.seconds:.1f}, memory"
        f" {theirs.bytes / ours.bytes:.1f}, what is new {after / median:.0f}"
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

    def store(self, some: list[Mail]) -> None:
        """Have these mails in the store."""
        waiting = iter(some)
        with StoreWriter(self._paths) as writer:
            while batch := tuple(islice(waiting, 1000)):
                writer.apply(FetchResult(mails=batch))

    def build(self, engine: str) -> Took:
        """An update in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", BUILD, self.configs[engine].source],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds, most = map(float, done.stdout.split())
        return Took(seconds, most)

    def update(self, engine: str) -> float:
        """Seconds of an update in this process, from opening all files to closing them."""
        begin = time.monotonic()
        opened = open_engine(self.configs[engine])
        assert opened
        opened.update(lambda *_: None)
        return time.monotonic() - begin

    def groups(self, engine: str) -> bytes | None:
        """What it wrote, less what only PaStA has: its commits that are no mail's."""
        content = read_content(self.configs[engine].patch_groups) or b""
        lines = content.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"=> "))

    def profile(self) -> None:
        """Print where the builtin engine spends a build."""
        profiler = cProfile.Profile()
        profiler.runcall(self.update, "builtin")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

    def _config(self, engine: str, pasta: str) -> Config:
        (self._folder / engine).mkdir()
        file = self._folder / f"{engine}.toml"
        file.write_text(CONFIG.format(engine=engine, pasta=pasta))
        return load(file)


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

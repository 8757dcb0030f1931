"""A push plan after ten groups changed, with few and with many groups, side by side.

python benchmarks/planning.py --large 1000000
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

import click

from patchsync.config import load
from patchsync.patchwork.schemas import User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.identity import Identity, MaintainedProject
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import ledger_path
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


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Groups.")
@click.option("--large", default=100_000, show_default=True, help="Groups.")
def main(small: int, large: int) -> None:
    seconds = {}
    for groups in (small, large):
        with tempfile.TemporaryDirectory() as folder:
            pushing = Pushing(Path(folder), groups)
            first, planned = pushing.timed(0)
            changed, again = pushing.timed(1)
            same, nothing = pushing.timed(1)
        assert (planned.groups, again.groups, nothing.groups) == (groups, CHANGED, 0)
        seconds[groups] = changed
        click.echo(
            f"{groups:>9} groups: first plan {first:.1f} s, {CHANGED} changed {changed:.2f} s, "
            f"nothing changed {same:.2f} s"
        )
    click.echo(f"{CHANGED} changed, large / small: {seconds[large] / seconds[small]:.1f}")


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

    def timed(self, version: int) -> tuple[float, Planned]:
        """Seconds of a plan, after the first ten groups got that many commits."""
        with self._config.patch_groups.open("w") as output:
            first = 1
            for group in range(self._groups):
                size = SIZES[group % len(SIZES)]
                names = (f"<{first + n}@example.org>" for n in range(size))
                commit = f" => {version:040x}" if version and group < CHANGED else ""
                output.write(" ".join(names) + commit + "\n")
                first += size
        begin = time.monotonic()
        planned = plan(self._config, self._ledger, [self._project], IDENTITY)
        return time.monotonic() - begin, planned


if __name__ == "__main__":
    main()

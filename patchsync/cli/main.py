"""The command `patchsync` and what its commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from patchsync.cli.analyse import analyse
from patchsync.cli.demo import demo
from patchsync.cli.doctor import check
from patchsync.cli.enqueue import enqueue
from patchsync.cli.explain import explain_command
from patchsync.cli.health import health
from patchsync.cli.importing import import_archives
from patchsync.cli.mark_false import mark_false_command
from patchsync.cli.pasta import pasta
from patchsync.cli.push import push
from patchsync.cli.run import run
from patchsync.cli.status import status
from patchsync.cli.sync import sync
from patchsync.cli.up import up
from patchsync.config import DEFAULT_FILE, FILE_VARIABLE
from patchsync.errors import PatchsyncError

EPILOG = """
\b
A first run:
  patchsync demo                  all of it at work on a sample Patchwork
  $EDITOR patchsync.toml          name a Patchwork and its projects (see README)
  patchsync check                 does the configuration work?
  patchsync import dump.tar.gz    take in a dumparchive first, if there is one
  patchsync sync                  bring all projects in step, once
  patchsync analyse               find which patches are revisions of one another, once
  patchsync explain 1234 1301     why two are one patch, or not; mark-false takes them apart
  patchsync push --dry-run        what of that Patchwork would show
  patchsync status                what is so now

\b
A fleet that goes on by itself:
  patchsync up                    all of it on this machine, until Ctrl-C
  patchsync run fetch             one service in the foreground: containers, systemd, more machines
"""


class _Commands(click.Group):
    """Commands in the order in which one needs them; our errors are shown without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PatchsyncError as error:
            click.echo(f"patchsync: {error}", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Configuration file; default ${FILE_VARIABLE}, else {DEFAULT_FILE}."
    " PaStA's own project config works too.",
)
@click.version_option(package_name="patchsync")
def main(file: Path | None) -> None:
    """Keep PaStA and Patchwork in step: pull the patches of projects into PaStA's store, group
    those that are revisions of one another, and show the groups in Patchwork.
    """
    if file:
        # Where the workers' side, which has no command line of its own, looks for it too.
        os.environ[FILE_VARIABLE] = str(file.absolute())


for command in (
    *(check, import_archives, sync, analyse, explain_command, mark_false_command, pasta, push),
    *(up, status, enqueue, run, health, demo),
):
    main.add_command(command)

"""The command `patchsync` and what its commands share."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import click

from patchsync.errors import PatchsyncError

# In the order in which one needs them: where each is to be loaded from, and the first sentence of
# its help, so that the help of the group loads none.
COMMANDS = {
    "check": ("doctor:check", "Say line by line what of the configuration works."),
    "import": (
        "importing:import_archives",
        "Take in a dumparchive of any size, instead of each mail.",
    ),
    "sync": ("sync:sync", "Bring all projects in step, once."),
    "analyse": ("analyse:analyse", "Find the revisions of patches; write PaStA's patch-groups."),
    "show": ("show:show", "Show all revisions of a patch, and what became of them."),
    "diff": ("diff:diff", "Show what changed between two revisions of a patch."),
    "triage": ("triage:triage_command", "Show what of a project waits for somebody."),
    "explain": ("explain:explain_command", "Show why two patches are one, or are not."),
    "mark-false": (
        "mark_false:mark_false_command",
        "Mark two mails, or a mail and a commit, as not one patch.",
    ),
    "pasta": ("pasta:pasta", "Run a command of PaStA's under the store's lock."),
    "push": ("push:push", "Show PaStA's groups in Patchwork, once."),
    "up": ("up:up", "Run the whole fleet on this machine until Ctrl-C."),
    "status": ("status:status", "Show who is alive, and how far each project is."),
    "resume": ("resume:resume", "Lift what stops the fleet, or with -p a project."),
    "enqueue": ("enqueue:enqueue", "Enqueue one task by hand; without TASK, list them."),
    "run": ("run:run", "Run one service of the fleet in the foreground."),
    "health": ("health:health", "Say whether SERVICE is alive on this host."),
    "demo": ("demo:demo", "Show the whole circle at work on a sample Patchwork."),
}

EPILOG = """
\b
A first run:
  patchsync demo                  all of it at work on a sample Patchwork
  $EDITOR patchsync.toml          name a Patchwork and its projects (see README)
  patchsync check                 does the configuration work?
  patchsync import dump.tar.gz    take in a dumparchive first, if there is one
  patchsync sync                  bring all projects in step, once
  patchsync analyse               find which patches are revisions of one another, once
  patchsync show 1301             all revisions of a patch, wherever posted, and what became of it
  patchsync diff 1301             what changed since the revision before; --series: in all of it
  patchsync triage                what waits: done but shown as open, or unanswered
  patchsync explain 1234 1301     why two are one patch, or not; mark-false takes them apart
  patchsync push --dry-run        what of that Patchwork would show
  patchsync status                what is so now

\b
A fleet that goes on by itself:
  patchsync up                    all of it on this machine, until Ctrl-C
  patchsync run fetch             one service in the foreground: containers, systemd, more machines
"""


def load_command(name: str) -> click.Command:
    """The command of this name, with all that it needs."""
    from patchsync.cli.loading import without_garbage  # The list of commands loads nothing.

    module, _, attribute = COMMANDS[name][0].partition(":")
    with without_garbage():
        command: click.Command = getattr(import_module(f"patchsync.cli.{module}"), attribute)
    return command


class _Commands(click.Group):
    """Loads the command that is called, and no other; shows our errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else command, rest

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PatchsyncError as error:
            from patchsync.cli.output import echo  # The list of commands loads nothing.

            echo(f"Error: {error}", err=True)  # As click says of its own.
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
    help="Configuration file; default $PATCHSYNC_CONFIG, else patchsync.toml."
    " PaStA's own project config works too.",
)
@click.version_option(package_name="patchsync")
def main(file: Path | None) -> None:
    """Keep PaStA and Patchwork in step: pull the patches of projects into PaStA's store, group
    those that are revisions of one another, and show the groups in Patchwork.
    """
    if file:
        from patchsync.config import FILE_VARIABLE

        # Where the workers' side, which has no command line of its own, looks for it too.
        os.environ[FILE_VARIABLE] = str(file.absolute())


for name, (_, sentence) in COMMANDS.items():
    main.add_command(click.Command(name, help=sentence))

"""`patchsync analyse`: bring the groups up to date once, in the foreground."""

from __future__ import annotations

import click

from patchsync.analysis.update import update_groups
from patchsync.cli.output import echo
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.cli.steps import Steps
from patchsync.config import load
from patchsync.errors import ConfigError, GiveUp, TryAgainLater
from patchsync.store.identity import list_containers


@click.command()
@click.option(
    "--overwrite",
    is_flag=True,
    help="Write patch-groups although somebody else changed it; the old file is kept beside it.",
)
@click.option(
    "--rebuild",
    is_flag=True,
    help="Forget what is kept between updates, and compare all mails anew.",
)
def analyse(overwrite: bool, rebuild: bool) -> None:
    """Find the revisions of patches; write PaStA's patch-groups.

    Looks at what came into the store since the last update: `patchsync sync` first brings what is
    new. The fleet's service `analyse` does the same by itself, after each batch of mails; then
    this only says that there is nothing new.

    Who compares says [analysis] engine: `builtin` (the default: as PaStA does, but only what is
    new), or `pasta`, the real one. It may be stopped at any time: the groups are the old ones or
    the new ones, and the next update goes on.

    \b
    patchsync analyse                what is new, now
    patchsync analyse --rebuild      all of it, as from scratch; the groups come out the same
    patchsync analyse --overwrite    after "was changed by somebody else": take our groups

    Exit status 0 if patch-groups is up to date; 1 if not, and where there are no mails yet.
    """
    config = load()
    indexes = [container.paths.index for container in list_containers(config.d_mbox)]
    if config.analysis.engine != "none" and not any(index.exists() for index in indexes):
        raise TryAgainLater(f"{config.d_mbox} has no mails yet; run `patchsync sync` first")
    end_as_by_ctrl_c()
    with Steps() as steps:
        updated = update_groups(config, steps.on_progress, overwrite=overwrite, rebuild=rebuild)
    if updated is None:
        raise ConfigError(
            f'{config.source}: nobody analyses; set [analysis] engine = "builtin" or "pasta"'
        )
    echo(f"{config.patch_groups}: {updated.summary}")
    if updated.trouble:
        raise GiveUp(updated.trouble)

"""`patchsync mark-false`: two that are not one patch, whatever their rating says."""

from __future__ import annotations

import click

from patchsync.analysis.false_positives import is_marked, mark_false
from patchsync.analysis.lookup import look_up
from patchsync.analysis.settings import read_settings
from patchsync.cli.output import echo
from patchsync.config import load


@click.command("mark-false")
@click.argument("left", metavar="ID")
@click.argument("right", metavar="ID")
@click.option("-p", "--project", metavar="P", help="Where to look for the mails; default: in all.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
def mark_false_command(left: str, right: str, project: str | None, dry_run: bool) -> None:
    """Mark two mails, or a mail and a commit, as not one patch.

    An ID is a message-id, a patchwork id or a commit's hash. The mark goes to PaStA's false
    positives; from the next update on the two are not joined by each other's rating.
    """
    config = load()
    folder = read_settings(config).false_positives
    names = [look_up(config, text, project) for text in (left, right)]
    both = " and ".join(names)
    if dry_run:
        marked = is_marked(folder, *names)
        new = f"would write to {folder}: {both} are not one patch"
    else:
        marked = not mark_false(folder, *names)
        new = (
            f"wrote to {folder}: {both} are not one patch\n"
            "from the next update (`patchsync analyse`) on they are kept apart"
        )
    echo(f"{folder} has it already: {both} are not one patch" if marked else new)

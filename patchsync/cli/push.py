"""`patchsync push`: one round of what Patchwork should show, or only what it would be."""

from __future__ import annotations

import sys
from collections import Counter

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load
from patchsync.errors import (
    ConfigError,
    GiveUp,
    NotPatchwork,
    PatchsyncError,
    Refused,
    ServerUnavailable,
    StoreUnavailable,
    TryAgainLater,
)
from patchsync.push.entries import Sink
from patchsync.push.jobs import Job
from patchsync.push.sending import Outcome
from patchsync.push.service import PushService
from patchsync.sync.connect import connect_annotator
from patchsync.sync.projects import configured, find_project

# So many rows are shown one by one; the rest is counted.
MOST_ROWS = 100


@click.command()
@click.option("-p", "--project", "projects", multiple=True, metavar="P", help="Only this one.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing there.")
@click.option("--limit", type=click.IntRange(min=1), help="Annotate at most so many patches.")
@click.option("--yes", is_flag=True, help="Do not ask before the first push, or before --undo.")
@click.option("--retry", is_flag=True, help="Try again what Patchwork refused before.")
@click.option(
    "--undo", is_flag=True, help="Take out our relations, and set our checks to pending instead."
)
def push(
    projects: tuple[str, ...],
    dry_run: bool,
    limit: int | None,
    yes: bool,
    retry: bool,
    undo: bool,
) -> None:
    """Show PaStA's groups in Patchwork, once: what is there already is not written again.

    What is shown, and how, says [push] in the configuration: checks, relations, states, comments.
    What people set by hand stays. The first push to a project asks; once somebody agreed, the
    fleet's service `push` goes on by itself.

    Exit status 0 if Patchwork took all of it; what it refused is told, and in `patchsync status`.
    """
    if undo and projects:
        raise click.UsageError("--undo is for all projects; leave --project out")
    config = load()
    end_as_by_ctrl_c()
    with PushService(config, connect_annotator(config)) as session:
        for reading in session.learn():
            _say_where(f"{reading.project}: {reading.number} {reading.what}")
        if retry:
            session.refresh_identity()
            session.ledger.retry()
        ids = _project_ids(config, session, projects)
        if undo:
            ids = _undo(session, yes=yes, dry_run=dry_run)
        else:
            session.plan()
            if not dry_run:
                _agree(session, ids, yes=yes)
        extra = [] if undo else session.look_on(ids)
        clean = _run(session, [*extra, *session.jobs(ids, limit)], dry_run=dry_run)
        if undo and (left := len(session.pending(ids))):
            click.echo(f"{left} are not undone yet; run `patchsync push --undo` again", err=True)
            clean = False
    if not clean:
        sys.exit(1)


def _project_ids(config: Config, session: PushService, keys: tuple[str, ...]) -> set[int]:
    for name in session.identity.others:
        click.echo(f"{name}: left alone: the token's user does not maintain it", err=True)
    if not keys:
        return set(session.identity.projects)
    tables = [configured(config, key) for key in keys]
    sites = {table.called: find_project(config, table.id) for table in tables}
    for name, site in sites.items():
        if site is None:
            raise GiveUp(f"{name} is not in the store yet; run `patchsync sync` first")
        if site.paths.project_id not in session.identity.projects:
            raise GiveUp(f"{name}: the token's user does not maintain it")
    return {site.paths.project_id for site in sites.values() if site}


def _agree(session: PushService, ids: set[int], *, yes: bool) -> None:
    """Have somebody agree to the first push of each project."""
    new = ids - session.confirmed()
    if session.undone:
        new = ids
    for number in sorted(new):
        name = session.identity.projects[number].link_name
        counts = Counter(entry.sink for entry in session.pending({number}))
        told = ", ".join(f"{count} x {sink}" for sink, count in sorted(counts.items()))
        click.echo(f"{name}: first push, as {session.identity.user.username}: {told or 'nothing'}")
    if new and not yes:
        if not sys.stdin.isatty():
            raise click.ClickException("the first push of a project wants --yes (see --dry-run)")
        click.confirm("Write this to Patchwork?", abort=True)
    if new:
        session.confirm(new)


def _undo(session: PushService, *, yes: bool, dry_run: bool) -> set[int]:
    ours = session.count_ours()
    click.echo(
        f"to undo: {ours[Sink.CHECK]} patches show a check of ours, which becomes pending; "
        f"{ours[Sink.RELATION]} are in a relation by us, which they leave"
    )
    if dry_run:
        click.echo("nothing is written")
        sys.exit(0)
    if not yes:
        if not sys.stdin.isatty():
            raise click.ClickException("--undo wants --yes")
        click.confirm("Undo it?", abort=True)
    session.want_nothing()
    return set(session.identity.projects)


def _run(session: PushService, jobs: list[Job], *, dry_run: bool) -> bool:
    """Do the jobs and show what came of them. Returns whether nothing is in the way."""
    rows: list[Outcome] = []
    failed: PatchsyncError | None = None
    console = Console()
    shown = track(jobs, "pushing", console=console, disable=not console.is_terminal)
    for job in shown:
        try:
            for outcome in session.do(job, dry_run=dry_run):
                rows.append(outcome)
        except (ServerUnavailable, StoreUnavailable) as error:
            failed = error
            break
        except (TryAgainLater, GiveUp) as error:
            failed = error
            if isinstance(error, (Refused, NotPatchwork, ConfigError)):
                break  # Nothing can be written at all.
    _show(console, rows, dry_run=dry_run)
    counts = Counter(row.sink for row in rows if row.written)
    told = ", ".join(f"{count} x {sink}" for sink, count in sorted(counts.items())) or "nothing"
    troubles = sum(row.trouble for row in rows)
    click.echo(
        f"{'would write' if dry_run else 'wrote'}: {told}"
        + (f"; {troubles} reports" if troubles else "")
    )
    if failed:
        again = "; the next round goes on" if isinstance(failed, TryAgainLater) else ""
        click.echo(f"patchsync: {failed}{again}", err=True)
    return failed is None and not troubles


def _show(console: Console, rows: list[Outcome], *, dry_run: bool) -> None:
    if not rows:
        return
    table = Table("patch", "sink", "would be" if dry_run else "is", box=None, pad_edge=False)
    for row in rows[:MOST_ROWS]:
        style = "yellow" if row.trouble else ""
        # Square brackets of others are no markup.
        table.add_row(str(row.patch_id), row.sink, Text(row.text), style=style)
    console.print(table, soft_wrap=not console.is_terminal)
    if len(rows) > MOST_ROWS:
        console.print(f"... and {len(rows) - MOST_ROWS} more")


def _say_where(text: str) -> None:
    """On a terminal, in one line; elsewhere it would only fill a log."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)

"""`patchsync push`: one round of what Patchwork should show, or only what it would be."""

from __future__ import annotations

import sys
from collections import Counter

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from patchsync.cli.output import echo
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
from patchsync.patchwork.foreign_text import visible
from patchsync.push.daily_checks import until_tomorrow
from patchsync.push.jobs import Job
from patchsync.push.sending import Outcome
from patchsync.push.service import PushService
from patchsync.push.status import NOT_MAINTAINED, summary
from patchsync.sync.connect import connect_annotator
from patchsync.sync.projects import configured

# So many rows are shown one by one without --all; the rest is counted.
MOST_ROWS = 100


@click.command()
@click.option("-p", "--project", "projects", multiple=True, metavar="P", help="Only this one.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing there.")
@click.option("--all", "show_all", is_flag=True, help=f"Show each row, not only {MOST_ROWS}.")
@click.option("--limit", type=click.IntRange(min=1), help="Annotate at most so many patches.")
@click.option("--yes", is_flag=True, help="Do not ask before the first push, or before --undo.")
@click.option("--retry", is_flag=True, help="Try again what Patchwork refused before.")
@click.option(
    "--take-back",
    multiple=True,
    type=int,
    metavar="PATCH",
    help="Have what this patch (its id) shows count as ours again, whoever did it.",
)
@click.option(
    "--fewer-groups",
    is_flag=True,
    help="Withdraw annotations also where so many mails are in no group that it looks cut.",
)
@click.option(
    "--undo", is_flag=True, help="Take out our relations, and set our checks to pending instead."
)
def push(
    projects: tuple[str, ...],
    dry_run: bool,
    show_all: bool,
    limit: int | None,
    yes: bool,
    retry: bool,
    take_back: tuple[int, ...],
    fewer_groups: bool,
    undo: bool,
) -> None:
    """Show PaStA's groups in Patchwork, once.

    What is there already is not written again. What is shown, and how, says [push] in the
    configuration: checks, relations, states, comments. What people set by hand stays, until they
    say otherwise (--take-back). The first push to a project asks; once somebody agreed, the fleet's
    service `push` goes on by itself.

    Exit status 0 if Patchwork took all of it; what it refused is told, and in `patchsync status`.
    Where people decided otherwise is told too, and is no failure.
    """
    if undo and projects:
        raise click.UsageError("--undo is for all projects; leave --project out")
    if take_back and (dry_run or undo):
        raise click.UsageError("--take-back goes with neither --dry-run nor --undo")
    if dry_run and (fewer_groups or retry):
        raise click.UsageError(
            "--dry-run changes nothing, also not what the next push goes by: "
            "leave --fewer-groups and --retry out"
        )
    config = load()
    end_as_by_ctrl_c()
    with PushService(config, connect_annotator(config)) as service:
        for progress in service.learn():
            _say_where(progress)
        if retry:
            service.retry()
        if take_back:
            service.take_back(take_back)
        ids = _project_ids(config, service, projects)
        audited: list[Job] = []
        if undo:
            _undo(service, yes=yes, dry_run=dry_run)
            ids = set(service.identity.projects)
        else:
            service.plan(fewer_groups=fewer_groups)
            if not dry_run:
                _agree(service, ids, yes=yes)
            audited = service.audit(ids)
        jobs = [*audited, *service.jobs(ids, limit, waiting=dry_run)]
        clean = _run(service, jobs, dry_run=dry_run, show_all=show_all)
        if waiting := sum(service.status(number).waiting_checks for number in ids):
            limit = config.push.check.per_group_and_day
            echo(f"of these wait {waiting} x check {until_tomorrow(limit)}", err=True)
        if undo and (left := len(service.pending(ids))):
            echo(f"{left} are not undone yet; run `patchsync push --undo` again", err=True)
            clean = False
    if not clean:
        sys.exit(1)


def _project_ids(config: Config, service: PushService, keys: tuple[str, ...]) -> set[int]:
    for name in service.identity.others:
        echo(f"{name}: left alone: the token's user does not maintain it", err=True)
    if not keys:
        return set(service.identity.projects)
    ids = set()
    for table in [configured(config, key) for key in keys]:
        project = service.projects.get(table.id)
        if project is None:
            raise GiveUp(f"{table.called} is not in the store yet; run `patchsync sync` first")
        if project.paths.project_id not in service.identity.projects:
            raise GiveUp(f"{table.called}: {NOT_MAINTAINED}")
        ids.add(project.paths.project_id)
    return ids


def _agree(service: PushService, ids: set[int], *, yes: bool) -> None:
    """Have somebody agree to the first push of each project."""
    new = ids - service.confirmed()
    username = service.identity.user.username
    for number in sorted(new):
        name = service.identity.projects[number].link_name
        pending = summary(service.status(number).pending)
        echo(f"{name}: first push, as {username}: {pending}")
    if new:
        if not yes:
            _ask(
                "Write this to Patchwork?",
                "the first push of a project wants --yes (see --dry-run)",
            )
        service.confirm(new)


def _undo(service: PushService, *, yes: bool, dry_run: bool) -> None:
    checks, related = service.count_ours()
    echo(
        f"to undo: {checks} patches show a check of ours, which becomes pending; "
        f"{related} are in a relation by us, which they leave"
    )
    if dry_run:
        echo("nothing is written")
        sys.exit(0)
    if not yes:
        _ask("Undo it?", "--undo wants --yes")
    service.undo()


def _ask(question: str, without_terminal: str) -> None:
    if not sys.stdin.isatty():
        raise click.ClickException(without_terminal)
    click.confirm(question, abort=True)


def _run(service: PushService, jobs: list[Job], *, dry_run: bool, show_all: bool) -> bool:
    """Do the jobs and show what came of them. Returns whether nothing is in the way."""
    outcomes: list[Outcome] = []
    failed: PatchsyncError | None = None
    console = Console()
    for job in track(jobs, "pushing", console=console, disable=not console.is_terminal):
        try:
            for outcome in service.do(job, dry_run=dry_run):
                outcomes.append(outcome)
        except (ServerUnavailable, StoreUnavailable) as error:
            failed = error
            break
        except (TryAgainLater, GiveUp) as error:
            failed = error
            if isinstance(error, (Refused, NotPatchwork, ConfigError)):
                break  # Nothing can be written at all.
    shown = len(outcomes) if show_all else MOST_ROWS
    _show(console, outcomes, shown, dry_run=dry_run)
    # Patches, as `patchsync status` counts them: one request relates several.
    written = {
        (outcome.sink, patch_id)
        for outcome in outcomes
        if outcome.written
        for patch_id in outcome.others | {outcome.patch_id}
    }
    troubles = sum(outcome.trouble for outcome in outcomes)
    respected = sum(outcome.respected for outcome in outcomes)
    echo(
        f"{'would write' if dry_run else 'wrote'}: {summary(Counter(sink for sink, _ in written))}"
        + (f"; {troubles} in trouble" if troubles else "")
        + (f"; {respected} as people have them" if respected else "")
    )
    if failed:
        again = "; the next round goes on" if isinstance(failed, TryAgainLater) else ""
        echo(f"Error: {failed}{again}", err=True)
    return failed is None and not troubles


def _show(console: Console, outcomes: list[Outcome], most: int, *, dry_run: bool) -> None:
    if not outcomes:
        return
    table = Table("patch", "sink", "would be" if dry_run else "is", box=None, pad_edge=False)
    for outcome in outcomes[:most]:
        style = "yellow" if outcome.trouble else ""
        # Square brackets of others are no markup.
        table.add_row(str(outcome.patch_id), outcome.sink, Text(visible(outcome.text)), style=style)
    console.print(table, soft_wrap=not console.is_terminal)
    if len(outcomes) > most:
        console.print(f"... and {len(outcomes) - most} more; --all shows them")


def _say_where(text: str) -> None:
    """On a terminal, in one line; elsewhere it would only fill a log."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{visible(text)}", err=True, nl=False)

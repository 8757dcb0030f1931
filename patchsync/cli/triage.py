"""`patchsync triage`: what of a project waits for somebody."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence

import click

from patchsync.cli.output import echo
from patchsync.cli.reading import age, day, fitted, one_line, open_catalog
from patchsync.config import Config, load
from patchsync.errors import GiveUp
from patchsync.revisions.as_json import waiting_json
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.triage import (
    MOST_ON_A_PAGE,
    OPEN_STATES,
    Kind,
    WaitingPage,
    WaitingPatch,
    triage,
)
from patchsync.sync.projects import Project, configured, find_project, find_projects

_HEADINGS: dict[Kind, str] = {
    "done": "shown as open, though a later revision is there or it is upstream",
    "unanswered": "nobody answered",
}
_SHOWN_HASH = 12


@click.command("triage")
@click.option("-p", "--project", metavar="P", help="Number or link name; default: all.")
@click.option(
    "--state",
    "states",
    metavar="SLUG",
    multiple=True,
    default=OPEN_STATES,
    show_default=True,
    help="What counts as open, the first as not looked at yet; may be given several times.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_ON_A_PAGE),
    default=20,
    show_default=True,
    help="So many of each kind.",
)
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Only those below this patch.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON; docs/revisions.md.")
def triage_command(
    project: str | None,
    states: tuple[str, ...],
    limit: int,
    before: int | None,
    as_json: bool,
) -> None:
    """Show what of a project waits for somebody.

    What came last stands first. What is done: patches that Patchwork still shows as new or under
    review, though a later revision was posted, to whatever list, or they are upstream. And what
    nobody answered: still new, no delegate, nobody's checks but ours, no later revision, not
    upstream, and no patch of another author in reply. Replies that are no patches are in no store,
    so they do not count.

    \b
    patchsync triage
    patchsync triage -p netdev --limit 100
    patchsync triage -p netdev --before 1301         those before patch 1301
    patchsync triage --state new --state rfc         in a Patchwork with states of its own
    patchsync triage --json | jq -r '.projects[].done.patches[].patch.url'

    States are those that were seen last: Patchwork is asked nothing. Exit status 0, also where
    something waits; 1 where the project has no place in the store yet.
    """
    config = load()
    projects = _projects(config, project)
    with open_catalog(config) as catalog:
        found = {
            each.name: {
                kind: _collected(config, catalog, each, kind, states, before, limit)
                for kind in _HEADINGS
            }
            for each in projects
        }
    if as_json:
        content = [
            {"project": name} | {kind: waiting_json(config, page) for kind, page in pages.items()}
            for name, pages in found.items()
        ]
        echo(json.dumps({"projects": content}, indent=2))
        return
    lines = [line for name, pages in found.items() for line in _text(name, pages)]
    for line in lines[1:]:  # Each part begins with an empty one.
        echo(line)


def _projects(config: Config, key: str | None) -> Sequence[Project]:
    if key is None:
        projects = find_projects(config)
        if not projects:
            raise GiveUp(f"{config.d_mbox} has no project yet; run `patchsync sync` first")
        return projects
    project = find_project(config, configured(config, key).id)
    if project is None:
        raise GiveUp(f"{config.d_mbox} has no project {key!r} yet; run `patchsync sync` first")
    return [project]


def _collected(
    config: Config,
    catalog: Catalog,
    project: Project,
    kind: Kind,
    states: Sequence[str],
    before: int | None,
    limit: int,
) -> WaitingPage:
    """So many as are wanted, or all: a page of `triage` may be short."""
    patches: list[WaitingPatch] = []
    while True:
        wanted = limit - len(patches)
        page = triage(config, catalog, project, kind, states=states, before=before, limit=wanted)
        patches += page.patches
        before = page.before
        if before is None or len(patches) == limit:
            return WaitingPage(patches=tuple(patches), before=before)


def _text(name: str, pages: dict[Kind, WaitingPage]) -> Iterator[str]:
    now = time.time()
    for kind, page in pages.items():
        yield ""
        yield f"{one_line(name)}: {_HEADINGS[kind]}"
        if not page.patches:
            yield "  none"
        for waiting in page.patches:
            yield from _patch(waiting, now)
        if page.before is not None:
            yield f"  maybe more: --before {page.before}"


def _patch(waiting: WaitingPatch, now: float) -> Iterator[str]:
    mail, patch = waiting.mail, waiting.patch
    author = one_line(mail.author_name or mail.author_address)
    yield fitted(
        f"  {patch.patch_id}  {day(mail.date)}, {age(mail.date, now)} ago,"
        f" {one_line(patch.state or '')}  {author}: {one_line(mail.subject)}"
    )
    if waiting.commits:
        names = ", ".join(commit[:_SHOWN_HASH] for commit in waiting.commits[:3])
        yield f"      upstream in {names}"
    elif waiting.later:
        yield f"      later: {one_line(waiting.later)}"

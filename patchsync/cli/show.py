"""`patchsync show`: all revisions of a patch, and what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from shlex import quote

import click

from patchsync.cli.output import echo
from patchsync.cli.reading import age, day, fitted, moment, one_line, open_catalog
from patchsync.config import Config, load
from patchsync.revisions.as_json import history_json
from patchsync.revisions.history import history_of
from patchsync.revisions.links import archive_url, patchwork_url
from patchsync.revisions.model import PatchHistory, PatchInProject, PatchMail, Reason, Series

_SHOWN_HASH = 12


@click.command("show")
@click.argument("name", metavar="ID")
@click.option("--why", is_flag=True, help="Rate each revision against the one before, too.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON; docs/revisions.md.")
def show(name: str, why: bool, as_json: bool) -> None:
    """Show all revisions of a patch, and what became of them.

    Wherever they were posted, oldest first, each with its series, its author, what Patchwork was
    last seen to show of it and when that was; then the commits. ID is a message-id, a patchwork id,
    or a commit's hash, of any of the revisions; that one is marked by a `*`.

    \b
    patchsync show 1301
    patchsync show 20190523211620.5712-5-lokeshvutla@ti.com
    patchsync show 1a2b3c4d            the patch that became this commit
    patchsync show 1301 --why          what makes them one patch; `explain` tells more of a pair
    patchsync show 1301 --json | jq '.revisions[-1].message_id'

    What Patchwork shows is known from the lists that were read for something else: it is asked
    nothing. Exit status 0; 1 where there is no such patch.
    """
    config = load()
    with open_catalog(config) as catalog:
        history = history_of(config, catalog, name)
        reasons = None
        if why:
            from patchsync.revisions.reasons import reasons_of  # It loads what rates patches.

            reasons = reasons_of(config, catalog, history)
    if as_json:
        echo(json.dumps(history_json(config, history, reasons), indent=2))
        return
    for line in _text(config, history, reasons or ()):
        echo(line)


def _text(config: Config, history: PatchHistory, reasons: Sequence[Reason]) -> Iterator[str]:
    titled = history.revision(history.asked) or next(reversed(history.revisions), None)
    yield fitted(one_line(titled.title)) if titled else "no patch is known that became this commit"
    if history.left_out:
        yield f"{history.left_out} more revisions are not shown"
    for number, mail in enumerate(history.revisions, start=1):
        yield ""
        yield from _revision(config, history, mail, number)
    if history.commits:
        yield ""
        yield "upstream"
    for commit in history.commits:
        mark = "*" if commit.commit_hash == history.asked else " "
        when = f"  {day(commit.date)}" if commit.date is not None else ""
        subject = f"  {one_line(commit.subject)}" if commit.subject else ""
        yield fitted(f"{mark} {commit.commit_hash[:_SHOWN_HASH]}{when}{subject}")
        if history.revisions and commit.subject is not None:  # The repository has it.
            yield f"      patchsync diff {commit.commit_hash[:_SHOWN_HASH]}"
    if reasons:
        yield ""
        yield "why they are one"
    for reason in reasons:
        yield f"  {one_line(reason.left)} and {one_line(reason.right)}"
        yield f"    {one_line(reason.verdict)}"


def _revision(config: Config, history: PatchHistory, mail: PatchMail, number: int) -> Iterator[str]:
    mark = "*" if mail.message_id == history.asked else " "
    author = one_line(mail.author_name or mail.author_address)
    yield fitted(f"{mark}{number:>3}  {moment(mail.date)}  {author}: {one_line(mail.subject)}")
    yield f"      {one_line(mail.message_id)}"
    if copied := history.copy_of(mail.message_id):
        yield f"      a copy of {one_line(copied.message_id)}"
    if mail.prefix.total > 1:
        yield f"      {_in_series(mail, history.series.get(mail.series_key))}"
    for patch in mail.patches:
        yield f"      {_in_project(patch)}"
        if not patch.gone:
            yield f"      {patchwork_url(config, mail, patch)}"
    if archive := archive_url(config, mail):
        yield f"      {archive}"
    if before := history.before(mail.message_id):
        yield f"      patchsync diff {_argument(before)} {_argument(mail)}"


def _in_series(mail: PatchMail, series: Series | None) -> str:
    text = f"part {mail.prefix.part} of {mail.prefix.total}"
    if series is None:
        return text
    missing = len(series.missing)
    return text + f" of {one_line(series.title)!r}" + (f", {missing} missing" if missing else "")


def _in_project(patch: PatchInProject) -> str:
    text = f"{one_line(patch.project_name)} {patch.patch_id}"
    if patch.gone:
        return f"{text}: gone from Patchwork"
    if patch.seen_at is None:
        return f"{text}: its state was not seen yet"
    parts = [patch.state or "state unknown"]
    if patch.archived:
        parts.append("archived")
    if patch.check:
        parts.append(f"checks {patch.check}")
    if patch.delegate:
        parts.append(f"delegate {patch.delegate}")
    return f"{text}: {one_line(', '.join(parts))}; seen {age(patch.seen_at, time.time())} ago"


def _argument(mail: PatchMail) -> str:
    """What names a mail on a command line: its patchwork id is short, and safe to a shell."""
    return str(mail.patches[0].patch_id) if mail.patches else quote(one_line(mail.message_id))

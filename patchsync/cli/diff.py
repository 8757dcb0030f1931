"""`patchsync diff`: what changed between two revisions of a patch, or two versions of a series."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence

import click

from patchsync.cli.output import echo, echo_coloured
from patchsync.cli.reading import day, one_line, open_catalog
from patchsync.config import Config, load
from patchsync.range_diff.format import (
    ansi_heading,
    ansi_line,
    heading,
    number_width,
    plain_line,
)
from patchsync.revisions.as_json import diff_json, series_diff_json
from patchsync.revisions.compare import PartDiff, SeriesDiff, compare_revisions, compare_series
from patchsync.revisions.model import Series

_INDENT = "    "


@click.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="[B]", required=False)
@click.option("--series", is_flag=True, help="Compare the whole series that the patches are of.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON; docs/revisions.md.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours; auto (the default): on a terminal where NO_COLOR is not set.",
)
def diff(left: str, right: str | None, series: bool, as_json: bool, color: str) -> None:
    """Show what changed between two revisions of a patch.

    As `git range-diff` shows it, but without a tree: mails are compared, line numbers and index
    lines aside. A and B are message-ids, patchwork ids, or commits. With one: since its
    predecessor, wherever that was posted; of a commit since the last revision, that is what the
    maintainer changed.

    \b
    patchsync diff 1301                since the revision before
    patchsync diff 467 1301            between these two
    patchsync diff 1a2b3c4d            what the maintainer changed; wants [analysis] repo
    patchsync diff --series 1301       the whole series that 1301 is of, since its last version
    patchsync diff --series 467 1301   between these two versions
    patchsync diff 1301 --color always | less -R

    With --series the patches are paired by PaStA's groups: `=` is unchanged, `!` changed, `<`
    dropped, `>` new. Lines that begin with `#` are not git's: which versions are compared, and what
    was reordered, split, left out or sent again. A cover letter's message-id names its series, too.

    Exit status 0, also where nothing changed; 1 where there is nothing to compare.
    """
    config = load()
    coloured = color == "always" or (
        color == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    with open_catalog(config) as catalog:
        if series:
            # The later one is what is asked for; the earlier one can be found.
            name, before = (right, left) if right else (left, None)
            _show_series(config, compare_series(config, catalog, name, before), as_json, coloured)
            return
        found = compare_revisions(config, catalog, left, right)
    if as_json:
        echo(json.dumps(diff_json(config, found), indent=2))
    else:
        _print([found], coloured)


def _show_series(config: Config, found: SeriesDiff, as_json: bool, coloured: bool) -> None:
    if as_json:
        echo(json.dumps(series_diff_json(config, found), indent=2))
        return
    echo(f"# {_version(found.left)} -> {_version(found.right)}")
    _print(found.parts, coloured)
    for comment in _comments(found):
        echo(f"# {comment}")


def _print(parts: Sequence[PartDiff], coloured: bool) -> None:
    """In git's own form."""
    width = number_width([part.pair for part in parts])
    for part in parts:
        if coloured:
            echo_coloured(ansi_heading(part.pair, width))
            for line in part.lines:
                echo_coloured(_INDENT + ansi_line(line))
        else:
            echo(heading(part.pair, width))
            for line in part.lines:
                echo(_INDENT + plain_line(line))


def _version(series: Series) -> str:
    began = min(mail.date for mail in series.mails)
    return f"v{series.version} of {day(began)}: {one_line(series.title)}"


def _comments(diff: SeriesDiff) -> Iterator[str]:
    yield from diff.remarks
    for part in diff.parts:
        if not part.notes:
            continue
        where = f"part {part.pair.right_number}"
        if not part.right:
            where = f"part {part.pair.left_number} before"
        yield f"{where}: {one_line('; '.join(part.notes))}"

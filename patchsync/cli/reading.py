"""What the commands that read the catalog share: bringing it up to date, times, lines that fit."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size

from patchsync.cli.output import echo
from patchsync.cli.steps import Steps
from patchsync.config import Config
from patchsync.errors import PatchsyncError
from patchsync.patchwork.foreign_text import visible
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catch_up import catch_up

# Of a line that goes to no terminal; a subject may be as long as its mail.
_LONGEST_LINE = 1000
_AGES = ((86400 * 2, 86400, "days"), (3600 * 2, 3600, "hours"), (120, 60, "minutes"))


def open_catalog(config: Config) -> Catalog:
    """The catalog, up to date with store and groups, or as it was where that cannot be.

    As where this user may only read; then it says of when that is. That, and how far it is, goes to
    stderr.
    """
    why = ""
    with Steps(err=True) as steps:
        try:
            if not catch_up(config, steps.on_progress):
                why = "it may only be read here, or somebody else is at it"
        except PatchsyncError as trouble:
            why = str(trouble)
    catalog = Catalog.open(config)
    if why:
        at = catalog.changed_at
        as_of = f"this is as of {moment(at)}" if at else "there is nothing to read"
        echo(f"the catalog of the patches is not up to date: {why}; {as_of}", err=True)
    return catalog


def moment(seconds: float | None) -> str:
    """A time as `2026-01-31 08:54`, in UTC; `????-??-??` where it is none of the calendar."""
    try:
        return f"{datetime.fromtimestamp(seconds or 0, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "????-??-?? ??:??"


def day(seconds: float | None) -> str:
    """Its day."""
    return moment(seconds).partition(" ")[0]


def age(seconds: float, now: float | None = None) -> str:
    """How long ago that was, as `3 hours`; of what is yet to come less than a second."""
    passed = (time.time() if now is None else now) - seconds
    for least, unit, name in _AGES:
        if passed >= least:
            return f"{passed // unit:.0f} {name}"
    return f"{passed:.0f} seconds" if passed >= 1 else "less than a second"


def one_line(text: str) -> str:
    """A text of others as one line that steers no terminal, and is not endless."""
    return visible(" ".join(text[: 4 * _LONGEST_LINE].split()))[:_LONGEST_LINE]


def fitted(line: str) -> str:
    """A line, cut to the terminal's width where it goes to one; for what is not to be copied."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1)}…"

"""`patchsync check`: line by line what works and what does not."""

from __future__ import annotations

import sys

import click

from patchsync.cli.output import echo
from patchsync.config import load
from patchsync.doctor import findings


@click.command()
def check() -> None:
    """Say line by line what of the configuration works.

    And how to mend what does not. Asks the Patchwork a few requests and leaves nothing behind. Exit
    status 1 if anything does not work.
    """
    works = True
    for finding in findings(load()):
        works &= finding.works
        echo(f"{'ok  ' if finding.works else 'FAIL'}  {finding.subject}: {finding.text}")
    if not works:
        sys.exit(1)

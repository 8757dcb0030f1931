"""What the commands print. Text of others is in most of it, and must not steer a terminal."""

from __future__ import annotations

import click

from patchsync.patchwork.foreign_text import visible


def echo(text: object, *, err: bool = False) -> None:
    """Print a text and a newline, to stderr with `err`, with escapes for what is not visible."""
    click.echo(visible(str(text)), err=err)


def echo_coloured(line: str) -> None:
    """Print a line with colours, which are ours: what others wrote in it is visible already."""
    click.echo(line, color=True)

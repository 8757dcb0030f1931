"""`patchsync enqueue`: one task, by hand."""

from __future__ import annotations

import json

import click

from patchsync.cli.output import echo
from patchsync.config import load
from patchsync.errors import GiveUp
from patchsync.sync.projects import configured


@click.command()
@click.argument("task", required=False)
@click.argument("arguments", nargs=-1)
def enqueue(task: str | None, arguments: tuple[str, ...]) -> None:
    """Enqueue one task for the running fleet; without TASK, list them.

    ARGUMENTS begin with the project, by number or link name. The others are JSON where they
    parse as it, else text.

    \b
    patchsync enqueue fetch.probe linuxppc-dev         look for new patches now
    patchsync enqueue fetch.fetch_patches 2 '[17, 18]'     try patches again
    patchsync enqueue analyse.update linuxppc-dev      look for revisions now, in all projects
    """
    config = load()
    from workers import ad_hoc

    if task is None:
        for name, what in ad_hoc.tasks().items():
            echo(f"{name:<22} {what}")
        return
    if not arguments:
        raise GiveUp(
            f"{task} wants a project; there are: {', '.join(p.id for p in config.projects)}"
        )
    project, *others = arguments
    key = configured(config, project).id
    echo(ad_hoc.enqueue(task, key, *(_value(text) for text in others)))


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text

"""`patchsync enqueue`: one task, by hand."""

from __future__ import annotations

import json

import click

from patchsync.cli.output import echo
from patchsync.config import load
from patchsync.errors import GiveUp
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.redis_client import RedisReader
from patchsync.sync.projects import configured


@click.command()
@click.argument("task", required=False)
@click.argument("arguments", nargs=-1)
def enqueue(task: str | None, arguments: tuple[str, ...]) -> None:
    """Enqueue one task by hand; without TASK, list them.

    The running fleet does it. ARGUMENTS begin with the project, by number or link name. The others
    are JSON where they parse as it, else text. Prints the task's id, and says where nobody runs who
    would take it.

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
    ad_hoc.demand_task(task)
    if not arguments:
        raise GiveUp(
            f"{task} wants a project; there are: {', '.join(p.id for p in config.projects)}"
            f"; usage: {ad_hoc.usage(task)}"
        )
    project, *others = arguments
    key = configured(config, project).id
    echo(ad_hoc.enqueue(task, key, *(_value(text) for text in others)))
    service = ad_hoc.queue_of(task)
    with RedisReader(config.redis_url) as client:
        alive = Heartbeats(client, config.namespace).alive()
    if all(member.service != service for member in alive):
        echo(
            f"it waits: no {service} runs; start the fleet (`patchsync up`, or `run {service}`)",
            err=True,
        )


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text

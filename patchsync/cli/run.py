"""`patchsync run`: one service, in the foreground."""

from __future__ import annotations

import os

import click

from patchsync.config import FILE_VARIABLE, load, make_run_dir
from patchsync.fleet.services import (
    HEALTH_PATHS,
    QUEUES,
    SERVICES,
    demand_free_port,
    node_name,
    service_command,
)


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Of a worker; default [fleet] fetch_processes for fetch, 2 for probe, else 1.",
)
def run(service: str, processes: int | None) -> None:
    """Run one service of the fleet in the foreground.

    For containers, systemd, another machine.

    \b
    probe   compares projects with Patchwork      where the store is
    index   writes the store                      where the store is
    fetch   downloads mails                       anywhere: needs only Redis and HTTP
    analyse writes patch-groups, by [analysis]    where the store is
    push    annotates Patchwork, by [push]        where the store is; needs the token
    beat    enqueues what is due                  anywhere; one is enough, two do no harm
    flower  the dashboard                         anywhere
    web     the pages: patches, diffs, triage     where the store is; needs no Redis

    Logs go to stderr; it ends by SIGTERM, when the task in hand is done.
    """
    config = load()
    command = service_command(config, service, processes)
    if service in QUEUES:
        command += node_name(service)
    if service in HEALTH_PATHS:
        demand_free_port(config, service)
    os.environ[FILE_VARIABLE] = str(config.source)
    # Python looks for modules in the working folder first, and must find no foreign `workers`.
    os.chdir(make_run_dir(config))
    os.execv(command[0], command)  # noqa: S606 - an argument list

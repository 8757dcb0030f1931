"""`patchsync health`: is a service on this host alive, by its exit status."""

from __future__ import annotations

import socket
import sys

import click

from patchsync.cli.output import echo
from patchsync.config import Config, load
from patchsync.errors import RedisUnavailable, in_words
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.redis_client import RedisReader, plain_words, redis_memory
from patchsync.fleet.services import HEALTH_PATHS, SERVICES, local_url

SECONDS = 5.0


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
def health(service: str) -> None:
    """Say whether SERVICE is alive on this host.

    Exit status 0 if it is, else 1. Workers and beat note a heartbeat in Redis every few seconds,
    but not a worker that takes nothing for a minute though messages wait for it; the dashboard and
    the pages are asked by HTTP.
    """
    config = load()
    look = _http_trouble if service in HEALTH_PATHS else _trouble
    trouble = look(config, service)
    echo(f"{service}: {trouble or 'alive'}")
    if trouble:
        sys.exit(1)


def _trouble(config: Config, service: str) -> str | None:
    try:
        with RedisReader(config.redis_url, seconds=SECONDS) as client:
            alive = Heartbeats(client, config.namespace).alive()
            host = socket.gethostname()
            if any(member.service == service and member.host == host for member in alive):
                return None
            memory = redis_memory(client)
    except RedisUnavailable as error:
        return plain_words(error, config)
    if memory.share >= 1:
        return f"nobody can sign in: Redis is full: {memory}"
    return f"no process of it on {host} signed in lately: none runs, or it hangs; its log says more"


def _http_trouble(config: Config, service: str) -> str | None:
    # The other services do without; requests would take as long to load as all else.
    from http.client import HTTPConnection, HTTPException

    url, path = local_url(config, service), HEALTH_PATHS[service]
    connection = HTTPConnection(url.removeprefix("http://"), timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{url} does not answer: {in_words(error)}"
    finally:
        connection.close()
    return None if status == 200 else f"{url}{path} answers with status {status}"

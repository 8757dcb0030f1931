"""`patchsync sync`: bring all projects in step once, and say so only if it is so."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import click
import redis

from patchsync.cli.progress import Progress
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load
from patchsync.errors import GiveUp, TryAgainLater
from patchsync.fleet import Fleet
from patchsync.oneshot import Drive
from patchsync.roster import Roster
from patchsync.services import QUEUES
from patchsync.sites import configured

POLL_SECONDS = 0.2
LOOK_AGAIN_SECONDS = 5.0


@click.command()
@click.option("-p", "--project", "projects", multiple=True, metavar="P", help="Only this one.")
@click.option(
    "--patience",
    default=180.0,
    show_default=True,
    help="Seconds without any progress after which a project is given up.",
)
def sync(projects: tuple[str, ...], patience: float) -> None:
    """Bring all projects in step, once.

    Starts what is missing (the embedded Redis, workers) as processes, uses a running fleet where
    there is one, and stops what it started. Exit status 0 only if for every project the highest
    id, the count and an audit of all pages agree.
    """
    config = load()
    keys = [configured(config, key).id for key in projects] or [each.id for each in config.projects]
    if not run(config, keys, patience):
        sys.exit(1)


def run(config: Config, keys: list[str], patience: float) -> bool:
    """Sync the projects with these keys, showing how it goes. Returns whether all are in step."""
    end_as_by_ctrl_c()
    with Fleet(config) as fleet:
        fleet.ensure_redis()
        missing = _queues_not_served(config)
        fleet.ensure(missing)
        # Celery takes half a second to load: the workers do so at the same time.
        from workers import control

        drives = [Drive(config, key, control.enqueue) for key in keys]
        look_again = time.monotonic() + LOOK_AGAIN_SECONDS
        with Progress(drives) as progress:
            while any(drive.outcome is None for drive in drives):
                for drive in drives:
                    _step(drive)
                # One project may wait for another's pages: any progress is progress.
                quiet = time.monotonic() - max(drive.moved_at for drive in drives)
                if quiet < LOOK_AGAIN_SECONDS:
                    look_again = time.monotonic() + LOOK_AGAIN_SECONDS
                if quiet > patience:
                    for drive in drives:
                        drive.give_up(f"nothing new for {patience:g} s")
                progress.update()
                time.sleep(POLL_SECONDS)
                with suppress(GiveUp):  # Redis may come back; else patience runs out.
                    fleet.ensure_redis()
                if time.monotonic() > look_again:
                    # The fleet that we use may have ended.
                    look_again = time.monotonic() + LOOK_AGAIN_SECONDS
                    with suppress(redis.RedisError):
                        missing = sorted({*missing, *_queues_not_served(config)})
                fleet.ensure(missing)
        for drive in drives:
            click.echo(drive.outcome)
        agreed = all(drive.agreed for drive in drives)
        if agreed:
            fleet.kill()  # They idle; to ask them politely takes seconds.
            fleet.remove_files()
        elif fleet.logs():
            click.echo("what the workers said: " + " ".join(map(str, fleet.logs())), err=True)
        return agreed


def _queues_not_served(config: Config) -> list[str]:
    present = Roster(redis.Redis.from_url(config.redis_url), config.namespace).present()
    served = {member.service for member in present}
    return [queue for queue in QUEUES if queue not in served]


def _step(drive: Drive) -> None:
    try:
        drive.step()
    except GiveUp as error:
        drive.give_up(str(error))
    except (TryAgainLater, redis.RedisError):
        return  # It passes, or patience runs out.

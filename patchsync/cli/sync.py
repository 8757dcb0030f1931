"""`patchsync sync`: bring all projects in step once, and say so only if it is so."""

from __future__ import annotations

import sys
import time

import click
import redis

from patchsync.cli.loading import without_garbage
from patchsync.cli.output import echo
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load
from patchsync.errors import GiveUp, StoreNotWritable, TryAgainLater, in_words
from patchsync.fleet.missing_services import LOOK_AGAIN_SECONDS, MissingServices
from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.driver import Driver
from patchsync.sync.projects import configured

# Between two looks at how far it is; less where these are short and no pages are on their way, so
# that a sync with nothing new does not wait for its next look.
POLL_SECONDS = 0.2
LOOKS_SHARE = 0.1


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
    tables = [configured(config, key) for key in projects] or config.projects
    if not run(config, [table.id for table in tables], patience):
        sys.exit(1)


def run(config: Config, keys: list[str], patience: float) -> bool:
    """Sync the projects with these keys, showing how it goes. Returns whether all are in step."""
    end_as_by_ctrl_c()
    with Supervisor(config) as fleet:
        missing = MissingServices(config, fleet, SYNC_QUEUES)
        # Celery takes a third of a second to load: the workers do so at the same time.
        with without_garbage():
            from patchsync.cli.sync_progress import SyncProgress
            from workers import ad_hoc

        drivers = [Driver(config, key, ad_hoc.enqueue) for key in keys]
        missing.ensure()
        with SyncProgress(drivers) as progress:
            while any(driver.outcome is None for driver in drivers):
                began = time.monotonic()
                for driver in drivers:
                    _step(driver)
                _end_unreachable(drivers)
                # One project may wait for another's pages: any progress is progress.
                quiet = time.monotonic() - max(driver.moved_at for driver in drivers)
                if quiet > patience:
                    for driver in drivers:
                        doing = driver.trouble or driver.doing
                        driver.give_up(f"nothing new for {patience:g} s: {doing}")
                progress.update()
                time.sleep(_pause(drivers, time.monotonic() - began))
                missing.ensure(moving=quiet < LOOK_AGAIN_SECONDS)
        for driver in drivers:
            echo(driver.outcome)
        agreed = all(driver.agreed for driver in drivers)
        logs = fleet.logs()
        if agreed or not any(driver.heard for driver in drivers):
            fleet.kill()  # They idle, or wait in vain; to ask them politely takes seconds.
        if agreed:
            fleet.remove_files()
        elif logs:
            echo("what the workers said: " + " ".join(map(str, logs)), err=True)
        return agreed


def _pause(drivers: list[Driver], seconds: float) -> float:
    """How long to wait until the next look, after one that took so many seconds."""
    if any(driver.in_flight for driver in drivers):
        return POLL_SECONDS
    return min(seconds / LOOKS_SHARE, POLL_SECONDS)


def _step(driver: Driver) -> None:
    try:
        driver.step()
    except (GiveUp, StoreNotWritable) as error:
        driver.give_up(str(error))
    except (TryAgainLater, redis.RedisError) as error:
        # It passes, or patience runs out.
        driver.trouble = in_words(error) if isinstance(error, redis.RedisError) else str(error)


def _end_unreachable(drivers: list[Driver]) -> None:
    """Wait for no server that nothing was heard of: the url is wrong, or it is down."""
    trouble = next((driver.unreachable for driver in drivers if driver.unreachable), None)
    if trouble and not any(driver.heard for driver in drivers):
        for driver in drivers:
            driver.give_up(f"{trouble}; see [mbox.patchwork] url")

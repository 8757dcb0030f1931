"""One sync by a fleet that runs already: seconds and patches, as JSON. For benchmarks/sync.py.

python benchmarks/sync_in_fleet.py patchsync.toml
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click
import redis

from patchsync.config import FILE_VARIABLE, load
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.driver import Driver

POLL_SECONDS = 0.05
# After the heartbeat of each worker's first process, for its others
SETTLE_SECONDS = 1.0


@click.command(help=__doc__)
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--all-pages", is_flag=True, help="The audit lists also what the sync listed.")
def main(file: Path, all_pages: bool) -> None:
    os.environ[FILE_VARIABLE] = str(file)
    config = load(file)
    with Supervisor(config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(SYNC_QUEUES)
        from workers import ad_hoc

        heartbeats = Heartbeats(redis.Redis.from_url(config.redis_url), config.namespace)
        while {member.service for member in heartbeats.alive()} < set(SYNC_QUEUES):
            time.sleep(POLL_SECONDS)

        def enqueue(task: str, *args: object) -> None:
            ad_hoc.enqueue(task, *(args[:2] if all_pages else args))

        ad_hoc.tasks()  # Loads them.
        time.sleep(SETTLE_SECONDS)
        begun = time.monotonic()
        driver = Driver(config, config.projects[0].id, enqueue)
        while driver.outcome is None:
            driver.step()
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - begun
        fleet.kill()
        fleet.remove_files()
    if not driver.agreed:
        raise click.ClickException(driver.outcome)
    click.echo(json.dumps([seconds, driver.known]))


if __name__ == "__main__":
    main()

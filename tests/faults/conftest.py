"""A quiet run to compare with, and a fleet with beat that is left to itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.projects import find_project
from patchsync.sync.records import last_round
from standin.process import StandinProcess
from tests.support.contents import Contents, contents_of
from tests.support.inprocess import Workers
from tests.support.installation import Installation, configured

# The same mails each time, since the seed is the same.
PATCHES, SEED = 90, 11
PROJECTS = ("sample", "neighbour")
# What is lost is missed soon, and mails come in several batches.
HASTY = """
[fleet]
lease_seconds = 3
batch_bytes = 65536
[schedule]
probe_seconds = 1
"""


@pytest.fixture(scope="session")
def quiet(
    tmp_path_factory: pytest.TempPathFactory,
    shared_standin: StandinProcess,
    session_workers: Workers,
) -> Contents:
    """What a sync stores that nothing disturbs."""
    shared_standin.control.reset(patches=PATCHES, seed=SEED)
    folder = tmp_path_factory.mktemp("quiet")
    installation = configured(folder, shared_standin, workers=session_workers)
    installation.sync()
    for project in PROJECTS:
        installation.assert_mirrors(project)
    return contents_of(installation)


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in with the patches of the quiet run."""
    shared_standin.control.reset(patches=PATCHES, seed=SEED)
    return shared_standin


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """An empty store, and a configuration whose leases run out soon."""
    return configured(tmp_path, patchwork, HASTY)


@contextmanager
def fleet_at_work(installation: Installation) -> Iterator[Supervisor]:
    """Redis, a worker per queue, and beat; all is killed when the test is through."""
    with Supervisor(installation.config) as fleet:
        fleet.ensure_redis()
        fleet.ensure([*SYNC_QUEUES, "beat"])
        yield fleet
        fleet.kill()


def in_step(installation: Installation) -> Callable[[], bool]:
    """A condition: rounds that ended after this call say of each project that it is in step."""
    since = time.time()

    def condition() -> bool:
        sites = [find_project(installation.config, project) for project in PROJECTS]
        found = [last_round(site) if site else None for site in sites]
        return all(last is not None and last.in_sync and last.at > since for last in found)

    return condition


def await_step(installation: Installation, seconds: float = 120) -> None:
    """Wait until the fleet says by itself that each project is in step."""
    condition = in_step(installation)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in step after {seconds} s\n{installation.logs()}"
        time.sleep(0.05)


def redis_of(installation: Installation) -> redis.Redis:
    """A client of the installation's Redis."""
    return redis.Redis.from_url(installation.config.redis_url)


def key_of(installation: Installation, name: str) -> str:
    """The name of one of its keys."""
    return f"patchsync:{installation.config.namespace}:{name}"


def pages_in_flight(installation: Installation) -> int:
    """How many leases are out for `sample`."""
    found = redis_of(installation).zcard(key_of(installation, "sample:leases"))
    assert isinstance(found, int)
    return found

"""The task `workers.analyse.update` in a real worker, with an engine that does as it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchsync.config import FILE_VARIABLE
from patchsync.fleet import Fleet
from patchsync.leash import leashed
from patchsync.standin.process import StandinProcess
from tests.faults.conftest import key_of, redis_of
from tests.support.installation import Installation, configured, wait_until

# Each run adds a line to the file `runs`; the first ones end in another way than those after them.
WORKER = """
import sys, time
from pathlib import Path
from patchsync.analysis.engine import Updated
from patchsync.errors import LockHeld
from workers import analyse, settings
from workers.celery import app

folder, first, how_many = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def update_groups(config, tell):
    with (folder / "runs").open("a+") as runs:
        runs.seek(0)
        before = len(runs.readlines())
        runs.write("run\\n")
    if before < how_many:
        if first == "busy":
            raise LockHeld("another update is under way")
        time.sleep(60)
    (folder / "done").touch()
    return Updated(groups=0, mails=0, commits=0, story="all is well")

analyse.update_groups = update_groups
analyse.BUSY_AGAIN_SECONDS = 0.5
settings.task_annotations = {"workers.analyse.update": {"soft_time_limit": 1}}
app.worker_main(["--quiet", "worker", "-Q", "analyse", "-c", "1", "--loglevel", "INFO",
                 "--without-gossip", "--without-mingle"])
"""
ASK = "from workers import messages; [messages.analyse('sample') for _ in range(5)]"


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    return configured(tmp_path, patchwork)


def ask(installation: Installation) -> None:
    """As index does after each of five batches."""
    environment = os.environ | {FILE_VARIABLE: str(installation.file)}
    subprocess.run([sys.executable, "-c", ASK], env=environment, check=True)


@contextmanager
def worker(installation: Installation, first: str, how_many: int) -> Iterator[Path]:
    """Redis and such a worker; yields the file with its log."""
    folder = installation.file.parent
    environment = os.environ | {FILE_VARIABLE: str(installation.file)}
    with Fleet(installation.config) as fleet, (folder / "log").open("wb") as log:
        fleet.ensure_redis()
        with subprocess.Popen(
            leashed([sys.executable, "-c", WORKER, str(folder), first, str(how_many)]),
            env=environment,
            stdout=log,
            stderr=log,
        ) as process:
            try:
                yield folder / "log"
            finally:
                process.kill()


def runs(installation: Installation) -> int:
    """How often the engine was asked."""
    file = installation.file.parent / "runs"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_while_another_one_is_at_it(installation: Installation) -> None:
    """One message tries again until it is done, however many ask meanwhile; it is no error."""
    with worker(installation, "busy", 4) as log:  # It asks by itself when it starts.
        wait_until(lambda: runs(installation) == 2, "it was refused and tries again", 40)
        ask(installation)
        wait_until((installation.file.parent / "done").exists, "it went through", 40)
        wait_until(
            lambda: not redis_of(installation).hlen(key_of(installation, "unacked")), "all is over"
        )
        assert runs(installation) == 5
        assert "ERROR" not in log.read_text()
        assert "Traceback" not in log.read_text()


def test_a_worker_that_starts_catches_up(installation: Installation) -> None:
    """What was enqueued for one that was killed would not come again by itself."""
    with worker(installation, "busy", 0):
        wait_until((installation.file.parent / "done").exists, "it looked by itself", 40)


def test_cut_off_at_its_limit_it_goes_on(installation: Installation) -> None:
    """The log says so in a line, and another update begins where this one ended."""
    with worker(installation, "slow", 2) as log:
        ask(installation)
        wait_until((installation.file.parent / "done").exists, "it went through", 40)
        wait_until(lambda: "all is well" in log.read_text(), "it is told")
        assert log.read_text().count("not through in its time") == 2
        assert "Traceback" not in log.read_text()

"""The task `workers.analyse.update` in a real worker, cut off by Celery at its limit."""

from __future__ import annotations

import os
import subprocess
import sys

from patchsync.config import FILE_VARIABLE
from patchsync.fleet.parent_death import die_with_parent
from patchsync.fleet.supervisor import Supervisor
from tests.support.installation import Installation, wait_until

# Each run adds a line to the file `runs`; the first one takes longer than it may.
WORKER = """
import sys, time
from pathlib import Path
from patchsync.analysis.engine import Updated
from workers import analyse, settings
from workers.celery import app

folder = Path(sys.argv[1])

def update_groups(config, tell):
    with (folder / "runs").open("a+") as runs:
        runs.seek(0)
        before = len(runs.readlines())
        runs.write("run\\n")
    if before < 1:
        time.sleep(60)
    (folder / "done").touch()
    return Updated(groups=0, mails=0, commits=0, summary="all is well")

analyse.update_groups = update_groups
settings.task_annotations = {"workers.analyse.update": {"soft_time_limit": 1}}
app.worker_main(["--quiet", "worker", "-Q", "analyse", "-c", "1", "--loglevel", "INFO",
                 "--without-gossip", "--without-mingle"])
"""


def test_a_worker_that_starts_catches_up_and_goes_on_when_cut_off(
    installation: Installation,
) -> None:
    """It looks by itself; that it was cut off is told in a line, and another update follows."""
    folder = installation.file.parent
    log = folder / "log"
    with Supervisor(installation.config) as fleet, log.open("wb") as output:
        fleet.ensure_redis()
        with subprocess.Popen(
            die_with_parent([sys.executable, "-c", WORKER, str(folder)]),
            env=os.environ | {FILE_VARIABLE: str(installation.file)},
            stdout=output,
            stderr=output,
        ) as process:
            try:
                wait_until((folder / "done").exists, "it went through")
                wait_until(lambda: "all is well" in log.read_text(), "it is told")
            finally:
                process.kill()
    assert log.read_text().count("not through in its time") == 1
    assert "Traceback" not in log.read_text()

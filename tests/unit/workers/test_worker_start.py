"""What a process of the fleet loads before it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchsync.config import FILE_VARIABLE, load
from patchsync.fleet.services import node_name, service_command

# A worker and beat that say what they are, and end
PROGRAM = """
import json, runpy, sys
from celery.apps import beat, worker

def tell(self):
    others = {"flower", "prompt_toolkit", "celery.bin", "jinja2", "patchsync.push.service"}
    told = {name: getattr(self, name, None) for name in ("hostname", "concurrency", "exitcode")}
    print(json.dumps(told | {"loaded": sorted(others & set(sys.modules)), "argv": sys.argv}))

worker.Worker.start = beat.Beat.run = tell
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("service", ["probe", "beat"])
def test_it_loads_no_commands_and_nothing_of_push(tmp_path: Path, service: str) -> None:
    """Celery's command line loads Flower and a shell: a third of the start of each process."""
    file = tmp_path / "patchsync.toml"
    file.write_text("[mbox.patchwork]\nurl = 'http://127.0.0.1:1'\nproject_ids = [1]\n")
    python, dash_m, *command = service_command(load(file), service)
    if service == "probe":
        command += node_name(service)
    done = subprocess.run(
        [python, "-c", PROGRAM, *command],
        env=os.environ | {FILE_VARIABLE: str(file)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["loaded"] == []
    # So Celery starts a worker anew by SIGHUP.
    assert [sys.executable, *told["argv"]] == [python, dash_m, *command]
    if service == "probe":
        assert told["hostname"].startswith(f"probe-{os.getpid()}@")
        assert told["concurrency"] == 2

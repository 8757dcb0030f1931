"""`patchsync up`: all of the fleet from one command, and nothing of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchsync.fleet.supervisor import Supervisor
from standin.process import StandinProcess
from tests.support.installation import Installation, configured, free_port, processes_of, wait_until


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """Beat asks often; the dashboard and the pages have ports of their own."""
    extra = f"[schedule]\nprobe_seconds = 1\n[flower]\nport = {free_port()}\n"
    extra += f"[web]\nport = {free_port()}\n"
    return configured(tmp_path, patchwork, extra + "[fleet]\nlease_seconds = 3\n")


@contextmanager
def up(installation: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """`patchsync up` at work; its log is the file `up.log` beside the configuration."""
    with (
        (installation.file.parent / "up.log").open("wb") as log,
        subprocess.Popen(installation.command("up"), stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def log(installation: Installation) -> str:
    """What it wrote so far."""
    return (installation.file.parent / "up.log").read_text()


def alive(installation: Installation) -> dict[str, int]:
    """The services that `status` says are alive, with their processes."""
    told = json.loads(installation.patchsync("status", "--json").stdout)
    return {each["service"]: each["pid"] for each in told["fleet"]["members"]}


def test_all_of_it_until_ctrl_c(installation: Installation) -> None:
    """Patches come by themselves, what is killed is started again, Ctrl-C leaves nothing."""
    everybody = {"probe", "fetch", "index", "analyse", "beat"}
    with up(installation) as process:
        wait_until(lambda: set(alive(installation)) == everybody, "all signed in")
        assert installation.patchsync("health", "index").stdout == "index: alive\n"
        for services in ([], ["beat"]):
            second = installation.patchsync("up", *services)
            assert second.returncode == 1
            assert "runs already on this machine" in second.stderr
        wait_until(lambda: installation.status("sample")["in_sync"], "beat's probe had its effect")
        for service in ("flower", "web"):
            wait_until(
                lambda service=service: installation.patchsync("health", service).returncode == 0,
                f"{service} answers",
            )

        before = alive(installation)
        for service in ("index", "fetch", "beat"):
            os.kill(before[service], signal.SIGKILL)
        new = set(installation.patchwork.control.add("sample", 3))
        wait_until(lambda: new <= installation.ids("sample"), "the new ones do the work")
        assert "index   | this process ended (killed by signal 9)" in log(installation)

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(installation) == {}
    assert not installation.config.run_dir.exists()
    installation.assert_mirrors("sample")


def test_killed_it_takes_all_with_it(installation: Installation) -> None:
    """After SIGKILL no process of the fleet goes on by itself."""
    with up(installation) as process:
        wait_until(lambda: "index" in alive(installation), "it works")
        assert len(processes_of(installation)) > 5
        process.kill()
    wait_until(lambda: processes_of(installation) == {}, "all have ended")
    with up(installation) as process:  # Nothing of it is in the way of the next one.
        wait_until(lambda: "index" in alive(installation), "it works again")
        process.terminate()
        assert process.wait(60) == 0
    assert not list(installation.config.run_dir.parent.glob(f"{installation.config.run_dir.name}*"))


def test_a_service_with_the_configuration_that_lies_here(installation: Installation) -> None:
    """`patchsync run` finds patchsync.toml of the working folder, without -c."""
    environment = {key: value for key, value in os.environ.items() if key != "PATCHSYNC_CONFIG"}
    program = installation.command()[0]
    with (
        Supervisor(installation.config) as fleet,
        subprocess.Popen(
            [program, "run", "fetch"],
            cwd=installation.file.parent,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        fleet.ensure_redis()
        try:
            wait_until(lambda: alive(installation) == {"fetch": process.pid}, "it signs in")
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()

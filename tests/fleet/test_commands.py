"""Commands as a user starts them: processes that start others, and leave none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from standin.process import TOKEN, StandinProcess
from tests.support.installation import (
    Installation,
    configured,
    processes_of,
    running_fleet,
    wait_until,
)


def test_a_sync_from_nothing(installation: Installation) -> None:
    """It starts what it needs, ends with each patch once, as served, and leaves nothing behind."""
    assert "sample: in step" in installation.sync()
    for project in ("sample", "neighbour"):
        installation.assert_mirrors(project)
    assert processes_of(installation) == {}
    assert not installation.config.run_dir.exists()


def test_by_celery_s_own_command(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`celery -A workers call` works, by number as by name, and so does `beat`; errors are logged.

    Not in a command line, a log, Redis, the store, or a request of all this is the token seen.
    """
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    installation = configured(tmp_path, installation.patchwork, "[schedule]\nprobe_seconds = 1\n")
    environment = os.environ | {"PATCHSYNC_CONFIG": str(installation.file)}
    client = redis.Redis.from_url(installation.config.redis_url)
    seen: list[str] = []
    with running_fleet(installation):
        for project in ("1", "nosuch"):
            celery = [sys.executable, "-m", "celery", "-A", "workers"]
            subprocess.run(
                [*celery, "call", "workers.fetch.probe", "--args", f'["{project}"]'],
                env=environment,
                cwd=tmp_path,
                check=True,
                capture_output=True,
            )
        wait_until(lambda: installation.status("sample")["in_sync"], "the probe and its round ran")
        wait_until(
            lambda: "probe of nosuch: project 'nosuch' is not in" in installation.logs(),
            "the worker says what is wrong",
        )
        new = set(installation.patchwork.control.add("sample", 2))
        beat = [sys.executable, "-m", "celery", "-A", "workers", "beat", "--pidfile="]
        with subprocess.Popen(
            beat, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        ) as process:
            wait_until(lambda: new <= installation.ids("sample"), "beat alone brings what is new")
            process.kill()
        seen.append(installation.sync())
        seen += processes_of(installation).values()
        seen += [repr(client.dump(key)) for key in client.keys("*")]
        seen.append(installation.logs())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    seen += [file.read_bytes().decode("latin-1") for file in files]
    assert len(seen) > 10
    assert not [text for text in seen if TOKEN in text]
    assert installation.patchwork.control.stats()["authorized"] == {}
    client.close()


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGHUP]]
)
def test_ctrl_c_leaves_nothing_behind(
    installation: Installation, signals: list[signal.Signals]
) -> None:
    """Ctrl-C, impatient Ctrl-C, or a closed terminal: Redis and all workers end."""
    installation.patchwork.control.latency(0.2)
    running = subprocess.Popen(
        installation.command("sync"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_until(lambda: len(processes_of(installation)) > 4, "the fleet is up")
    wait_until(
        lambda: installation.patchwork.control.stats()["kinds"].get("series-mbox"), "it downloads"
    )
    for number in signals:
        running.send_signal(number)
        time.sleep(0.3)
    said, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "Traceback" not in said
    wait_until(lambda: processes_of(installation) == {}, "all of them are gone")


def test_two_configurations_share_one_redis(
    tmp_path: Path, patchwork: StandinProcess, shared_redis: redis.Redis
) -> None:
    """Each configuration's workers see only its own queues, locks and keys."""
    shared_redis.flushall()
    path = shared_redis.connection_pool.connection_kwargs["path"]
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        extra = f'[redis]\nurl = "unix://{path}"\n'
        both.append(configured(tmp_path / name, patchwork, extra, name=name))
    with running_fleet(both[0]):
        both[1].sync()
        both[1].assert_mirrors("sample")
        assert both[0].status("sample")["in_sync"] is None
        both[0].sync()
        both[0].assert_mirrors("sample")

"""What a user meets: `check`, `enqueue`, `status`, Ctrl-C, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from patchsync.config import load
from patchsync.standin.process import NOBODY_TOKEN, TOKEN, StandinProcess
from tests.integration.conftest import (
    Installation,
    configured,
    processes_of,
    running_fleet,
    wait_until,
)


def test_check_of_a_good_configuration(installation: Installation) -> None:
    """All lines are ok, each project is found, and PaStA's own setting for it is spelt out."""
    done = installation.patchsync("check", PATCHWORK_TOKEN=TOKEN)
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    assert '"patchwork.1"' in done.stdout
    assert "its user maintains all projects" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "token", "expected"),
    [
        ('"neighbour"', '"nosuch"', TOKEN, "FAIL  project nosuch: "),
        ("/api/", "/nothing/", TOKEN, "FAIL  [mbox.patchwork] url: "),
        ("http://127.0.0.1", "http://127.0.0.2", TOKEN, "FAIL  [mbox.patchwork] url: "),
        ("", "", "wrong", "FAIL  [mbox.patchwork] token: "),
        ("", "", NOBODY_TOKEN, "does not maintain sample, neighbour"),
        ("[mbox", "[store]\nmbox = 'patchsync.toml'\n[mbox", TOKEN, "FAIL  [store] mbox: "),
        (
            "[mbox",
            "[redis]\nurl = 'redis://127.0.0.1:1'\n[mbox",
            TOKEN,
            "FAIL  [redis] url: Redis does not answer",
        ),
    ],
)
def test_check_of_a_bad_one(
    tmp_path: Path, patchwork: StandinProcess, old: str, new: str, token: str, expected: str
) -> None:
    """What does not work is named by its key, and the exit status says so."""
    installation = configured(tmp_path, patchwork)
    installation.file.write_text(installation.file.read_text().replace(old or "\0", new))
    done = installation.patchsync("check", PATCHWORK_TOKEN=token)
    assert expected in done.stdout, done.stdout + done.stderr
    assert done.returncode == ("FAIL" in expected)


def test_sync_of_an_unknown_project_fails_at_once(
    tmp_path: Path, patchwork: StandinProcess
) -> None:
    """A project that Patchwork does not have is an error with exit status 1, not "0 patches"."""
    installation = configured(tmp_path, patchwork)
    file = installation.file
    file.write_text(file.read_text().replace('"neighbour"', '"nosuch"'))
    done = Installation(patchwork, load(file)).patchsync("sync", "--patience", "60")
    assert done.returncode == 1
    assert "nosuch: not in step: probe: " in done.stdout
    assert "has no project 'nosuch'" in done.stdout
    assert "sample: in step" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fetch.prob", "sample"], "there is no task 'fetch.prob'; there are: analyse.update"),
        (["fetch.probe"], "wants a project"),
        (["fetch.probe", "nosuch"], "project 'nosuch' is not in"),
        (["fetch.probe", "sample", "1", "2"], "too many positional arguments"),
        (["fetch.probe", "sample"], "Redis does not answer"),
    ],
)
def test_enqueue_says_what_is_wrong(
    installation: Installation, arguments: list[str], expected: str
) -> None:
    """A bad task, project or argument, or no fleet, is told apart, with exit status 1."""
    done = installation.patchsync("enqueue", *arguments)
    assert done.returncode == 1
    assert expected in done.stderr, done.stderr


def test_celery_s_own_command_enqueues_too(installation: Installation, tmp_path: Path) -> None:
    """`celery -A workers call` works, by number as by name; what is wrong is logged."""
    celery = [sys.executable, "-m", "celery", "-A", "workers", "call", "workers.fetch.probe"]
    environment = os.environ | {"PATCHSYNC_CONFIG": str(installation.file)}
    with running_fleet(installation):
        for project in ("1", "nosuch"):
            subprocess.run(
                [*celery, "--args", f'["{project}"]'],
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


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGHUP]]
)
def test_ctrl_c_leaves_nothing_behind(
    installation: Installation, signals: list[signal.Signals]
) -> None:
    """Ctrl-C, impatient Ctrl-C, or a closed terminal: Redis and all workers end."""
    installation.patchwork.control.latency(0.2)
    # Even where the tests run under nohup.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    running = subprocess.Popen(
        installation.command("sync"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    signal.signal(signal.SIGHUP, before)
    wait_until(lambda: len(processes_of(installation)) > 4, "the fleet is up", 30)
    wait_until(
        lambda: installation.patchwork.control.stats()["kinds"].get("series-mbox"), "it downloads"
    )
    for number in signals:
        running.send_signal(number)
        time.sleep(0.3)
    said, _ = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "Traceback" not in said
    wait_until(lambda: processes_of(installation) == {}, "all of them are gone", 5)


def files_of(installation: Installation) -> list[Path]:
    """All that was written below the folder of the configuration: the store, above all."""
    return [file for file in installation.file.parent.rglob("*") if file.is_file()]


def test_the_token_shows_nowhere(installation: Installation) -> None:
    """Not in a command line, a log, Redis, the store, or what is asked of Patchwork by a sync."""
    client = redis.Redis.from_url(installation.config.redis_url)
    seen: list[str] = []
    os.environ["PATCHWORK_TOKEN"] = TOKEN
    try:
        with running_fleet(installation):
            seen.append(installation.sync())
            seen += processes_of(installation).values()
            for key in client.keys("*"):
                seen.append(repr(client.dump(key)))
            seen.append(installation.logs())
    finally:
        del os.environ["PATCHWORK_TOKEN"]
    seen += [f.read_bytes().decode("latin-1") for f in files_of(installation)]
    assert len(seen) > 10
    assert not [text for text in seen if TOKEN in text]
    assert installation.patchwork.control.stats()["authorized"] == {}


def test_two_configurations_share_one_redis(
    tmp_path: Path, patchwork: StandinProcess, installation: Installation
) -> None:
    """Each configuration's workers see only its own queues, locks and keys."""
    from patchsync.fleet import Fleet

    with Fleet(installation.config) as fleet:
        fleet.ensure_redis()
        shared = f'[redis]\nurl = "unix://{installation.config.run_dir}/redis.sock"\n'
        both = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            each = configured(folder, patchwork, shared)
            each.file.write_text(f'name = "{name}"\n' + each.file.read_text())
            both.append(Installation(patchwork, load(each.file)))
        with running_fleet(both[0]):
            both[1].sync()
            both[1].assert_mirrors("sample")
            assert both[0].status("sample")["in_sync"] is None
            both[0].sync()
            both[0].assert_mirrors("sample")


def test_a_mail_that_is_too_large_is_set_aside(tmp_path: Path, patchwork: StandinProcess) -> None:
    """It is told with its reason and the setting; all else is in, and that counts as in step."""
    installation = configured(tmp_path, patchwork, "[patchwork]\nmax_mail_bytes = 1500\n")
    installation.sync()
    aside = installation.status("sample")["ours"]["set_aside"]
    assert aside
    assert all("[patchwork] max_mail_bytes" in entry["reason"] for entry in aside)
    assert not {entry["id"] for entry in aside} & installation.ids("sample")


def test_beat_drives_the_fleet(tmp_path: Path, patchwork: StandinProcess) -> None:
    """Beat alone keeps the store in step: a new patch comes in without anybody asking."""
    installation = configured(tmp_path, patchwork, "[schedule]\nprobe_seconds = 1\n")
    beat = [sys.executable, "-m", "celery", "-A", "workers", "beat"]
    environment = os.environ | {"PATCHSYNC_CONFIG": str(installation.file)}
    with running_fleet(installation):
        first, second = (
            subprocess.Popen(
                [*beat, "--schedule", str(tmp_path / name)],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name in ("beat-one", "beat-two")
        )
        try:
            wait_until(lambda: installation.status("sample")["in_sync"], "the first round", 40)
            new = set(patchwork.control.add("sample", 2))
            wait_until(lambda: new <= installation.ids("sample"), "the new ones are in", 40)
        finally:
            for process in (first, second):
                process.terminate()
                process.wait(20)
    installation.assert_mirrors("sample")

"""The service as a process: it starts, answers, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchsync.config import FILE_VARIABLE, Config
from patchsync.fleet.services import service_command
from patchsync.revisions import catch_up as catch_up_module
from patchsync.web import catching_up
from tests.support.installation import free_port, wait_until
from tests.unit.web.conftest import configuration
from tests.unit.web.web_fakes import Pages


@contextmanager
def service(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    """The command that `patchsync run web` becomes, with somebody's token in the environment."""
    environment = os.environ | {FILE_VARIABLE: str(config.source), "PATCHWORK_TOKEN": "s3cret"}
    with subprocess.Popen(service_command(config, "web"), env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def children(process: subprocess.Popen[bytes]) -> list[Path]:
    """What it has started, as folders of /proc."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        if folder.name.isdigit() and int(stat.rpartition(")")[2].split()[1]) == process.pid:
            found.append(folder)
    return found


def answers(pages: Pages) -> bool:
    """Whether the front page is there."""
    try:
        return pages.ask("/").status == 200
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_takes_all_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """Asked to end, or killed; what makes pages never had the token."""
    port = free_port()
    config = configuration(tmp_path, f"[web]\nport = {port}\n")
    pages = Pages(f"http://127.0.0.1:{port}")
    with service(config) as process:
        wait_until(lambda: answers(pages), "the pages are there", 240)
        started = children(process)
        assert len(started) == 2  # One for pages, and one for the catalog
        assert not any(b"s3cret" in (child / "environ").read_bytes() for child in started)
        process.send_signal(number)
        assert process.wait(60) == (0 if number == signal.SIGTERM else -number)
        wait_until(lambda: not any(child.exists() for child in started), "all have ended")


def test_a_catalog_that_is_not_written_is_told_of_once(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With both of its causes, by the name of the module, and again when it is written."""
    written = iter([False, False, True])
    monkeypatch.setenv(FILE_VARIABLE, str(config.source))
    monkeypatch.setattr(catch_up_module, "catch_up", lambda _: next(written))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(StopIteration):
        catching_up.main()
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("patchsync.web.catching_up", catching_up.NOT_WRITTEN),
        ("patchsync.web.catching_up", "the catalog is brought up to date again"),
    ]

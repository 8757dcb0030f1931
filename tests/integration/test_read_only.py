"""A user who may only read the store looks at it: `status` says all, and makes nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import ledger_path
from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from tests.support.pushing import SINKS, placed_store

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all may read; those of pytest are one user's."""
    with tempfile.TemporaryDirectory(prefix="ps-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def installation(
    folder: Path, synced: Path, shared_standin: StandinProcess, workers: Workers
) -> Installation:
    """A store in step, with what push and analysis keep beside it."""
    installation = placed_store(synced, folder, shared_standin, SINKS, workers)
    assert installation.patchsync("analyse").returncode == 0
    with Ledger(ledger_path(installation.config)) as ledger:
        ledger.set_complete()
    return installation


def files(folder: Path) -> set[Path]:
    """All that is in a folder."""
    return set(folder.rglob("*"))


@contextmanager
def who_may_only_read(folder: Path) -> Iterator[None]:
    """Within it this process is somebody who may read all in `folder`, and write nothing."""
    for path in (folder, *files(folder)):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize("changed", ["", "index was touched", "no side-index", "push runs"])
def test_status_for_who_may_only_read(installation: Installation, changed: str) -> None:
    """As for who may write; it leaves no lock and no log behind."""
    folder = installation.file.parent
    expected = json.loads(installation.patchsync("status", "--json").stdout)
    with ExitStack() as stack:
        if changed == "index was touched":
            for index in files(installation.config.d_mbox / "index"):
                os.utime(index)
        elif changed == "no side-index":
            for cache in folder.rglob("side-index.sqlite*"):
                cache.unlink()
        elif changed == "push runs":
            # What it has written is in its log still.
            ledger = stack.enter_context(Ledger(ledger_path(installation.config)))
            ledger.set_agreed({1, 2})
            for project in expected["projects"]:
                project["push"]["confirmed"] = True
        before = files(folder)
        with who_may_only_read(folder):
            told = json.loads(installation.patchsync("status", "--json").stdout)
            text = installation.patchsync("status")
        assert files(folder) == before
    for project in (*told["projects"], *expected["projects"]):
        del project["in_flight"]  # Redis' socket is another user's, too.
    assert told["projects"] == expected["projects"]
    assert told["analysis"] == expected["analysis"]
    assert text.stdout.count("in step") == 2, text.stdout + text.stderr

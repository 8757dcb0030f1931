"""The disk is full, and then it is not."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.faults.conftest import HASTY, await_step, fleet_at_work, pages_in_flight
from tests.support.contents import Contents, assert_same_store, leftovers
from tests.support.installation import Installation, configured, wait_until

CLONE_NEWNS = 0x00020000


def on_a_small_disk(disk: Path, size: str, test: Callable[[], None]) -> None:
    """Run `test` where `disk` is a file system of that size.

    In a thread with mounts of its own, which its processes inherit: nothing stays mounted, however
    it ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def run() -> None:
        if libc.unshare(CLONE_NEWNS) != 0:
            pytest.skip(f"no mounts of our own here: {os.strerror(ctypes.get_errno())}")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        disk.mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        mounted = subprocess.run(mounting, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"this machine lets nobody mount a small disk: {mounted.stderr.strip()}")
        test()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


@pytest.fixture
def installation(tmp_path: Path, patchwork: StandinProcess) -> Installation:
    """The store lies on a disk of its own."""
    return configured(tmp_path, patchwork, f'[store]\nmbox = "disk/mbox"\n{HASTY}')


def test_a_sync_says_so(installation: Installation, tmp_path: Path, quiet: Contents) -> None:
    """The error names the folder and the remedy; with room again the sync completes."""
    disk = tmp_path / "disk"

    def test() -> None:
        done = installation.patchsync("sync")
        assert done.returncode == 1
        assert str(disk) in done.stdout
        assert "full" in done.stdout or "free some space" in done.stdout, done.stdout
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        installation.sync()
        assert_same_store(installation, quiet)

    on_a_small_disk(disk, "400k", test)


def test_a_fleet_goes_on(installation: Installation, tmp_path: Path, quiet: Contents) -> None:
    """It fills up in the middle of a sync; with room again the fleet goes on by itself."""
    disk = tmp_path / "disk"
    installation.patchwork.control.latency(0.5)

    def test() -> None:
        with fleet_at_work(installation):
            wait_until(lambda: pages_in_flight(installation), "pages are in flight")
            fill = disk / "fill"
            with pytest.raises(OSError, match="No space"):
                fill.write_bytes(bytes(64 * 2**20))
            installation.patchwork.control.latency(0)
            wait_until(lambda: "the disk is full" in installation.logs(), "a write has failed")
            wait_until(lambda: "free some space" in installation.logs(), "a probe has refused")
            assert not [
                name for name in leftovers(installation.config.d_mbox) if name.startswith("raw/")
            ]
            fill.unlink()
            await_step(installation)
            assert_same_store(installation, quiet)

    on_a_small_disk(disk, "16m", test)

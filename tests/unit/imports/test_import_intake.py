"""What an import asks of the disk, and that others see it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from import_fakes import config_in, mbox_of, rendered, site_in

from patchsync.errors import GiveUp
from patchsync.imports.intake import Intake
from patchsync.imports.matching import Projects
from patchsync.imports.part import Tally
from patchsync.status import project_status


def archive_in(folder: Path) -> Path:
    archive = folder / "sample.mbox"
    archive.write_bytes(mbox_of(rendered(1)))
    return archive


def test_the_disk_has_room_for_the_mails_and_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more can wait than is new, whatever the spool may hold."""
    config = config_in(tmp_path, f"[import]\nspool_bytes = {2**40}\n")
    tallies = [Tally(new=1, new_bytes=1000, disk_bytes=2000)]
    tallies.append(Tally(new=1, new_bytes=2000, disk_bytes=3000))
    projects = Projects(config, [], None, chosen=False)
    needed = 2000 + 3000 + 1000 + 2000
    with Intake(config, archive_in(tmp_path), projects) as intake:
        for free in (needed, needed - 1):
            usage = SimpleNamespace(free=free)
            monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
            if free == needed:
                intake.demand_room(tallies)
            else:
                with pytest.raises(GiveUp, match=r"needs .* GiB there, and .* GiB are free"):
                    intake.demand_room(tallies)


def test_the_spool_counts_where_it_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many mails only so many wait at a time."""
    spool = 64 * 2**20
    config = config_in(tmp_path, f"[import]\nspool_bytes = {spool}\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * spool + spool))
    tally = Tally(new=1, new_bytes=10 * spool, disk_bytes=10 * spool)
    projects = Projects(config, [], None, chosen=False)
    with Intake(config, archive_in(tmp_path), projects) as intake:
        intake.demand_room([tally])


def test_status_tells_that_an_import_is_under_way(tmp_path: Path) -> None:
    """While it has the lock, and not after."""
    config = config_in(tmp_path)
    site_in(config)
    projects = Projects(config, ["1"], None, chosen=True)
    with Intake(config, archive_in(tmp_path), projects) as intake:
        assert not project_status(config, "1").importing
        for _ in intake.read():
            pass
        assert project_status(config, "1").importing
    assert not project_status(config, "1").importing

"""What an import asks of the disk, what it leaves there, and that others see it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from import_fakes import config_in, mbox_of, project_in, rendered

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.imports.intake import Intake
from patchsync.imports.judge import Tally
from patchsync.imports.which_project import ProjectMatch
from patchsync.status import project_statuses
from patchsync.store.halt import halt


def archive_in(folder: Path) -> Path:
    archive = folder / "sample.mbox"
    archive.write_bytes(mbox_of(rendered(1)))
    return archive


def intake_in(folder: Path) -> Intake:
    """An archive of the project that `config_in` configures."""
    config = config_in(folder)
    return Intake(config, archive_in(folder), ProjectMatch(config, ["1"], None, chosen=True))


def read(intake: Intake) -> None:
    intake.read(lambda _: None)


def test_the_disk_has_room_for_all_that_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all projects together, as it will be on the disk."""
    tallies = [Tally(new=1, new_bytes=1000, disk_bytes=2000)]
    tallies.append(Tally(new=1, new_bytes=2000, disk_bytes=3000))
    with intake_in(tmp_path) as intake:
        for free in (5000, 4999):
            usage = SimpleNamespace(free=free)
            monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
            if free == 5000:
                intake.demand_room(tallies)
            else:
                with pytest.raises(GiveUp, match=r"needs .* GiB there, and .* GiB are free"):
                    intake.demand_room(tallies)


def importing(config: Config) -> bool:
    """What `patchsync status` says of the project's import."""
    (status,) = project_statuses(config, ["1"], None)
    return status.importing


def test_status_tells_that_an_import_is_under_way(tmp_path: Path) -> None:
    """While it has the lock, and not after."""
    config = config_in(tmp_path)
    project_in(config)
    with intake_in(tmp_path) as intake:
        assert not importing(config)
        read(intake)
        assert importing(config)
    assert not importing(config)


def test_a_halted_project_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """With its reason."""
    halt(project_in(config_in(tmp_path)).paths, "the server was restored")
    with intake_in(tmp_path) as intake, pytest.raises(GiveUp, match="the server was restored"):
        read(intake)


def test_what_earlier_versions_left_is_removed(tmp_path: Path) -> None:
    """They noted a plan there, and had pieces wait beside it; the archive has it all."""
    folder = project_in(config_in(tmp_path)).paths.imports
    spool = folder / f"{'a' * 64}.spool"
    spool.mkdir(parents=True)
    (spool / "0-100").write_bytes(b"{}\n")
    plan = folder / f"{'a' * 64}.1.plan"
    plan.write_bytes(b"")
    with intake_in(tmp_path) as intake:
        read(intake)
        assert not spool.exists()
        assert not plan.exists()
        intake.clean_up()
    assert not folder.exists()

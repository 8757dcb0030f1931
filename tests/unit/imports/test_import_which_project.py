"""Which project an mbox is of."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from import_fakes import config_in, mbox_of, project_in, rendered

from patchsync.config import Config, load
from patchsync.errors import ConfigError, GiveUp
from patchsync.imports.intake import Intake
from patchsync.imports.which_project import ProjectMatch

PATH = Path("some/sample.mbox.gz")
MBOX = mbox_of(rendered(1))


def read(config: Config, archive: Path, projects: ProjectMatch) -> None:
    with Intake(config, archive, projects) as intake:
        intake.read(lambda _: None)


def test_a_member_is_known_by_its_link_name(tmp_path: Path) -> None:
    """In any case; another one is of nobody."""
    config = config_in(tmp_path)
    project = project_in(config)
    for chosen in (True, False):
        projects = ProjectMatch(config, ["1"], None, chosen=chosen)
        assert projects.project_of("Sample", PATH) == project
        assert projects.project_of("neighbour", PATH) is None


def test_a_bare_mbox_is_of_the_chosen_project(tmp_path: Path) -> None:
    """Whatever it is called; not chosen, its name tells, or somebody must."""
    config = config_in(tmp_path)
    project = project_in(config)
    assert ProjectMatch(config, ["1"], None, chosen=True).project_of(None, Path("x")) == project
    projects = ProjectMatch(config, ["1"], None, chosen=False)
    assert projects.project_of(None, PATH) == project
    with pytest.raises(GiveUp, match=r"x does not say of which project it is .*--project"):
        projects.project_of(None, Path("x"))


def test_offline_the_archive_names_the_project(tmp_path: Path) -> None:
    """Where the store does not know it yet, and somebody says whose the archive is."""
    config = config_in(tmp_path)
    assert ProjectMatch(config, ["1"], None, chosen=False).project_of("sample", PATH) is None
    with pytest.raises(GiveUp, match="in the store is not known"):
        ProjectMatch(config, ["1"], None, chosen=True).project_of(None, PATH)
    project = ProjectMatch(config, ["1"], None, chosen=True).project_of("sample", PATH)
    assert project is not None
    assert (project.name, project.paths.project_id) == ("sample", 1)
    assert not config.d_mbox.exists(), "nothing is left behind"


@pytest.mark.parametrize("ids", ["['sample', 'neighbour']", "[1, 2]", "['neighbour', 1]"])
def test_offline_a_place_that_is_not_known_is_told(tmp_path: Path, ids: str) -> None:
    """By link name or by number: not that the archive holds none of the wanted projects."""
    file = tmp_path / "patchsync.toml"
    file.write_text(f'[mbox.patchwork]\nurl = "https://example.org"\nproject_ids = {ids}\n')
    config = load(file)
    projects = ProjectMatch(config, [each.id for each in config.projects], None, chosen=False)
    archive = tmp_path / "dump.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("sample.mbox")
        member.size = len(MBOX)
        tar.addfile(member, io.BytesIO(MBOX))
    with pytest.raises(GiveUp, match=r"the place of .* is not known yet") as told:
        read(config, archive, projects)
    assert "none of" not in str(told.value)
    bare = tmp_path / "sample.mbox"
    bare.write_bytes(MBOX)
    with pytest.raises(GiveUp, match=r"the place of .* is not known yet"):
        read(config, bare, projects)
    assert not config.d_mbox.exists()


def test_offline_another_project_beside_one_that_is_not_known(tmp_path: Path) -> None:
    """What is called otherwise is of none that is configured by its name."""
    file = tmp_path / "patchsync.toml"
    file.write_text('[mbox.patchwork]\nurl = "https://example.org"\nproject_ids = ["other"]\n')
    projects = ProjectMatch(load(file), ["other"], None, chosen=False)
    assert projects.project_of("sample", PATH) is None
    assert projects.unknown() is None


def test_offline_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    """Without the list's address there is no place in the store."""
    file = tmp_path / "patchsync.toml"
    file.write_text('[mbox.patchwork]\nurl = "https://example.org"\nproject_ids = [1]\n')
    with pytest.raises(ConfigError, match="list_email"):
        ProjectMatch(load(file), ["1"], None, chosen=True).project_of("sample", PATH)

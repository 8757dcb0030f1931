"""Which project an mbox is of."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_fakes import config_in, site_in

from patchsync.config import load
from patchsync.errors import ConfigError, GiveUp
from patchsync.imports.matching import Projects

PATH = Path("some/sample.mbox.gz")


def test_a_member_is_known_by_its_link_name(tmp_path: Path) -> None:
    """In any case; another one is of nobody."""
    config = config_in(tmp_path)
    site = site_in(config)
    for chosen in (True, False):
        projects = Projects(config, ["1"], None, chosen=chosen)
        assert projects.site_of("Sample", PATH) == site
        assert projects.site_of("neighbour", PATH) is None


def test_a_bare_mbox_is_of_the_chosen_project(tmp_path: Path) -> None:
    """Whatever it is called; not chosen, its name tells, or somebody must."""
    config = config_in(tmp_path)
    site = site_in(config)
    assert Projects(config, ["1"], None, chosen=True).site_of(None, Path("x")) == site
    projects = Projects(config, ["1"], None, chosen=False)
    assert projects.site_of(None, PATH) == site
    with pytest.raises(GiveUp, match=r"x does not say of which project it is .*--project"):
        projects.site_of(None, Path("x"))


def test_offline_the_archive_names_the_project(tmp_path: Path) -> None:
    """Where the store does not know it yet, and somebody says whose the archive is."""
    config = config_in(tmp_path)
    assert Projects(config, ["1"], None, chosen=False).site_of("sample", PATH) is None
    with pytest.raises(GiveUp, match="in the store is not known"):
        Projects(config, ["1"], None, chosen=True).site_of(None, PATH)
    site = Projects(config, ["1"], None, chosen=True).site_of("sample", PATH)
    assert site is not None
    assert (site.name, site.paths.project_id) == ("sample", 1)
    assert not config.d_mbox.exists(), "nothing is left behind"


def test_offline_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    """Without the list's address there is no place in the store."""
    file = tmp_path / "patchsync.toml"
    file.write_text('[mbox.patchwork]\nurl = "https://example.org"\nproject_ids = [1]\n')
    with pytest.raises(ConfigError, match="list_email"):
        Projects(load(file), ["1"], None, chosen=True).site_of("sample", PATH)

"""What a client was shown goes to the project that it is of, where that is in the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.patchwork.schemas import PATCH_VIEWS, PatchView
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews
from patchsync.sync.view_recorder import ViewRecorder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of two projects, by number and by name."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://p.example.org"\nproject_ids = [1, "neighbour"]\n'
    )
    return load(file)


def placed(config: Config, number: int, name: str, url: str | None = None) -> ContainerPaths:
    """The place of a project in the store, of this Patchwork unless told otherwise."""
    paths = ContainerPaths(
        d_mbox=config.d_mbox, listaddr=f"{name}@example.org", project_id=number, layout="raw"
    )
    origin = Origin(
        url=url or config.base_url, project_id=number, link_name=name, list_email=paths.listaddr
    )
    claim(paths, origin)
    return paths


def listed(project: int, *patch_ids: int) -> tuple[PatchView, ...]:
    """What a list of a project answers."""
    of_project = {"id": project, "link_name": f"project-{project}"}
    rows = [
        {"id": each, "project": of_project, "state": "new", "commit_ref": None, "related": []}
        for each in patch_ids
    ]
    return PATCH_VIEWS.parse(json.dumps(rows).encode())


def ids(paths: ContainerPaths) -> set[int]:
    with PatchViews(paths) as views:
        return {view.patch_id for view in views.newest(["new"])}


def test_each_project_has_its_own(config: Config) -> None:
    """However the configuration spells it; patches of one list may be related to another's."""
    one, two = placed(config, 1, "sample"), placed(config, 2, "neighbour")
    record = ViewRecorder(config)
    record(listed(1, 5, 7), 1.0)
    record(listed(2, 6), 1.0)
    record((), 1.0)
    assert (ids(one), ids(two)) == ({5, 7}, {6})


def test_what_is_not_in_the_store_is_not_kept(config: Config) -> None:
    """A project of others, and one of the same number in another Patchwork; nothing is made."""
    one = placed(config, 1, "sample", url="https://other.example.org")
    record = ViewRecorder(config)
    before = set(config.d_mbox.rglob("*"))
    record(listed(1, 5), 1.0)
    record(listed(3, 6), 1.0)
    assert ids(one) == set()
    assert set(config.d_mbox.rglob("*")) == before


def test_a_store_that_cannot_be_read_holds_up_nothing(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and again after it was mended."""
    one = placed(config, 1, "sample")
    one.patch_views.mkdir()
    record = ViewRecorder(config)
    for _ in range(3):
        record(listed(1, 5), 1.0)
    assert len(caplog.records) == 1
    one.patch_views.rmdir()
    record(listed(1, 5), 1.0)
    assert ids(one) == {5}
    for file in one.own.glob("patch-views*"):
        file.unlink()
    one.patch_views.mkdir()
    record(listed(1, 5), 1.0)
    assert len(caplog.records) == 2


def test_the_address_of_the_archive_is_kept(config: Config) -> None:
    """Of the project that the list is of."""
    one, two = placed(config, 1, "sample"), placed(config, 2, "neighbour")
    project = {"id": 1, "link_name": "sample", "list_archive_url_format": "https://a.example/{}"}
    rows = [{"id": 5, "project": project, "state": "new", "commit_ref": None, "related": []}]
    ViewRecorder(config)(PATCH_VIEWS.parse(json.dumps(rows).encode()), 1.0)
    with PatchViews(one) as views, PatchViews(two) as others:
        assert (views.archive_format, others.archive_format) == ("https://a.example/{}", None)
    assert ids(one) == {5}

"""What Patchwork shows of patches, as it gets beside the store without a request of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from patchsync.store.count_history import CountHistory
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews, StoredView
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from tests.support.pushing import SINKS, Pushing, placed_store

STATES = SINKS.replace('"relation"', '"relation", "state"')
STATES += '[push.state]\nsuperseded_by = "anyone"\n'


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, workers: Workers
) -> Pushing:
    return Pushing(installation=placed_store(synced, tmp_path, shared_standin, STATES, workers))


def paths_of(installation: Installation, project: str = "sample") -> ContainerPaths:
    found = find_project(installation.config, project)
    assert found is not None
    return found.paths


def views_of(installation: Installation, project: str = "sample") -> dict[int, StoredView]:
    with PatchViews(paths_of(installation, project)) as views:
        return views.of(installation.ids(project))


def assert_as_listed(pushing: Pushing, views: dict[int, StoredView]) -> None:
    """All that the server says of each of these patches."""
    for patch_id, view in views.items():
        listed = pushing.patch(patch_id)
        (series,) = listed["series"]
        assert (view.state, view.archived, view.check, view.delegate, view.commit_ref) == (
            listed["state"],
            listed["archived"],
            listed["check"],
            None,
            listed["commit_ref"],
        )
        assert (view.series_id, view.series_name, view.series_version) == (
            series["id"],
            series["name"],
            series["version"],
        )


def probe(installation: Installation) -> None:
    """One, and nothing that follows."""
    assert installation.workers is not None
    with installation.workers.running("probe"):
        done = installation.patchsync("enqueue", "fetch.probe", "sample")
        assert done.returncode == 0, done.stderr


def test_a_sync_keeps_what_it_was_shown(pushing: Pushing) -> None:
    """Of all patches that it fetched: by the index worker, from what fetch sends along."""
    for project in ("sample", "neighbour"):
        views = views_of(pushing.installation, project)
        assert views.keys() == set(pushing.ids(project))
        assert_as_listed(pushing, views)
        assert all(0 < time.time() - view.seen_at < 3600 for view in views.values())


def test_an_audit_sees_what_changed_and_fills_what_was_deleted(pushing: Pushing) -> None:
    """Its pages are read anyway: not one request more."""
    installation = pushing.installation
    first, second, *_ = pushing.ids()
    pushing.by_hand(first, state="rejected", archived=True)
    pushing.by_hand(second, state="accepted", commit_ref="0123abcd")
    installation.sync()
    views = views_of(installation)
    assert (views[first].state, views[first].archived) == ("rejected", True)
    assert (views[second].state, views[second].commit_ref) == ("accepted", "0123abcd")
    for file in paths_of(installation).own.glob("patch-views*"):
        file.unlink()
    assert views_of(installation) == {}
    pushing.standin.control.reset_stats()
    installation.sync()
    # A probe is one request, an audit of one page two; the probe's has the newest patch only.
    assert pushing.standin.control.stats()["kinds"]["patches"] == 3 * 2
    views = views_of(installation)
    assert views.keys() == set(pushing.ids())
    assert_as_listed(pushing, views)


def test_a_probe_keeps_the_newest(pushing: Pushing) -> None:
    """The one that its only request shows."""
    installation = pushing.installation
    before = views_of(installation)
    newest = max(before)
    pushing.by_hand(newest, state="rfc")
    probe(installation)
    after = views_of(installation)
    assert after[newest].state == "rfc"
    assert {n: view for n, view in after.items() if n != newest} == {
        n: view for n, view in before.items() if n != newest
    }


def test_a_probe_keeps_how_many_there_are(pushing: Pushing) -> None:
    """Of the server and of ours, as it found them."""
    installation = pushing.installation
    pushing.standin.control.add("sample", 3)
    probe(installation)
    (*_, counts) = CountHistory(paths_of(installation)).since(0)
    assert (counts.server, counts.ours) == (43, 40)
    assert 0 < time.time() - counts.at < 3600


def test_push_keeps_what_it_set(pushing: Pushing) -> None:
    """At once: triage does not wait for an audit to come by."""
    first, second, third, *_ = pushing.ids()
    pushing.group([first, second, third])
    pushing.push()
    views = views_of(pushing.installation)
    assert [views[n].state for n in (first, second, third)] == ["superseded", "superseded", "new"]


def test_what_cannot_be_kept_holds_up_nothing(
    pushing: Pushing, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the files are folders, say: the sync ends as ever, and the log says so."""
    paths = paths_of(pushing.installation)
    for path in (paths.patch_views, paths.counts):
        for file in paths.own.glob(f"{path.name}*"):
            file.unlink()
        path.mkdir()
    pushing.standin.control.add("sample", 3)
    assert "in step" in pushing.installation.sync()
    told = [each.message for each in caplog.records if f"{paths.patch_views}: " in each.message]
    # Once by whom asks, however often, and once by the index worker.
    assert len(told) == 2
    assert all(line.startswith("what Patchwork shows of patches is not kept: ") for line in told)
    assert f"how many patches there are is not kept: {paths.counts}: " in caplog.text

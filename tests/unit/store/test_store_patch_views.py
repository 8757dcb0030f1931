"""What Patchwork was last seen to show: kept, cut to its bounds, newer before older."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from random import Random

import pytest

from patchsync.patchwork.shown_patch import LONGEST_NAME, LONGEST_TEXT, ShownPatch
from patchsync.store import sqlite_file
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews, StoredView

NOW = 1_000_000.0
SHOWN = ShownPatch(
    patch_id=7,
    state="under-review",
    archived=False,
    check="warning",
    series_id=3,
    series_name="two – parts",
    series_version=2,
    delegate="ada",
    commit_ref="0123abcd",
)


@pytest.fixture
def views(paths: ContainerPaths) -> PatchViews:
    """Of a store that is not there yet, at a fixed time."""
    return PatchViews(paths, clock=lambda: NOW)


def test_looking_leaves_nothing_behind(views: PatchViews, paths: ContainerPaths) -> None:
    """Where nothing was listed nothing is known; and nothing to record makes no file either."""
    views.record([], NOW)
    assert views.of([7]) == {}
    assert views.newest(["new"]) == []
    assert not paths.d_mbox.exists()


def test_what_was_shown_is_kept(views: PatchViews, paths: ContainerPaths) -> None:
    """All of it, for another process too; what a list did not say is None."""
    bare = ShownPatch(patch_id=8)
    views.record([SHOWN, bare], NOW - 5)
    expected = {
        patch.patch_id: StoredView(**asdict(patch), seen_at=NOW - 5) for patch in (SHOWN, bare)
    }
    assert views.of([7, 8, 9]) == expected
    with PatchViews(paths) as others:
        assert others.of([8, 7]) == expected


def test_the_newer_look_counts_in_any_order(views: PatchViews, random: Random) -> None:
    """Pages come in as their downloads end, not as they were asked for."""
    looks = [(float(at), replace(SHOWN, state=f"state-{at}")) for at in range(20)]
    random.shuffle(looks)
    for at, shown in looks:
        views.record([shown], at)
    assert views.of([7])[7].state == "state-19"
    assert views.of([7])[7].seen_at == 19


def test_nothing_is_as_new_as_what_is_to_come(views: PatchViews) -> None:
    """What a machine whose clock is ahead has seen is not believed for years."""
    views.record([SHOWN], NOW * 9)
    assert views.of([7])[7].seen_at == NOW
    views.record([replace(SHOWN, state="accepted")], NOW)
    assert views.of([7])[7].state == "accepted"


def in_state(views: PatchViews, *states: str) -> list[int]:
    return [view.patch_id for view in views.newest(states)]


def test_patches_are_found_by_state(views: PatchViews) -> None:
    """Those archived are done with; so is what has another state by now."""
    states = ("new", "under-review", "accepted")
    views.record([ShownPatch(patch_id=n, state=states[n % 3]) for n in range(1, 13)], 1)
    views.record([ShownPatch(patch_id=3, state="new", archived=True)], 2)
    views.record([ShownPatch(patch_id=6, state="superseded", archived=False)], 2)
    assert in_state(views, "new", "under-review") == [12, 10, 9, 7, 4, 1]
    assert in_state(views, "new") == [12, 9]
    assert in_state(views) == []


def test_many_are_had_at_once(views: PatchViews) -> None:
    """More than one statement of SQLite takes."""
    ids = range(1, 2001)
    views.record([ShownPatch(patch_id=n) for n in ids], 1)
    assert views.of(ids).keys() == set(ids)


def test_states_are_looked_up_by_an_index(views: PatchViews, paths: ContainerPaths) -> None:
    """A million patches are not read for the few that are new."""
    views.record([SHOWN], 1)
    with closing(sqlite3.connect(paths.patch_views)) as sql:
        (plan,) = sql.execute(
            "EXPLAIN QUERY PLAN SELECT patch_id FROM view WHERE state IN ('new')"
        ).fetchall()
    assert "USING COVERING INDEX view_state" in plan[3]


def test_the_file_may_be_deleted_while_it_is_open(views: PatchViews, paths: ContainerPaths) -> None:
    """What is recorded next is in the file that others read."""
    views.record([SHOWN], 1)
    for file in paths.own.iterdir():
        file.unlink()
    assert views.of([7]) == {}
    views.record([replace(SHOWN, patch_id=8)], 1)
    with PatchViews(paths) as others:
        assert others.of([7, 8]).keys() == {8}


def test_who_may_only_read_sees_what_is_new(
    views: PatchViews, paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages may run as such a user, for days."""
    with views:
        views.record([SHOWN], 1)
    reader = PatchViews(paths)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "may_write", lambda _: False)
        assert reader.of([7])[7].seen_at == 1
    for seen_at in (2, 3):
        views.record([SHOWN], seen_at)
        with monkeypatch.context() as patched:
            patched.setattr(sqlite_file, "may_write", lambda _: False)
            assert reader.of([7])[7].seen_at == seen_at
        views.close()


def test_a_damaged_file_is_made_anew(views: PatchViews, paths: ContainerPaths) -> None:
    """It is a cache: the next audit fills it."""
    views.record([SHOWN], 1)
    views.close()
    paths.patch_views.write_bytes(b"no database" * 999)
    views.record([SHOWN], 2)
    assert views.of([7])[7].seen_at == 2


@pytest.mark.parametrize(
    "row",
    [
        ["x"] * 9,
        [7, 1, 0, {}, "3", [], 2**31, ["ada"], False],
        [7, "", None, "", 0, "", -1, "", ""],
        [7, None, "true", None, 2**63, None, True, None, None],
    ],
)
def test_what_is_something_else_is_none(row: list[object]) -> None:
    """Whatever a server, or a message, says; but of no patch at all there is nothing to keep."""
    if row[0] == "x":
        with pytest.raises(ValueError, match="no patchwork id"):
            ShownPatch.from_row(*row)
    else:
        assert ShownPatch.from_row(*row) == ShownPatch(patch_id=7)


def test_text_is_cut_to_what_patchwork_takes(views: PatchViews) -> None:
    """And can be written, half of a surrogate pair too."""
    long = "\ud800" + "a" * 10**6
    row = [7, long, True, long, 3, long, 2, long, long]
    views.record([ShownPatch.from_row(*row)], 1)
    view = views.of([7])[7]
    for text in (view.state, view.check, view.delegate):
        assert text == "?" + "a" * (LONGEST_NAME - 1)
    for text in (view.series_name, view.commit_ref):
        assert text == "?" + "a" * (LONGEST_TEXT - 1)
    assert view.archived is True


def test_the_newest_in_some_states_by_page(views: PatchViews, paths: ContainerPaths) -> None:
    """In falling order, each once, however many states; without those that are archived."""
    assert views.newest(["new"]) == []
    assert not paths.d_mbox.exists()
    states = ("new", "under-review", "accepted")
    flags = (None, False, True)
    patches = [
        ShownPatch(patch_id=n, state=states[n % 3], archived=flags[n % 7 % 3]) for n in range(1, 60)
    ]
    views.record(patches, 1)
    expected = [n for n in range(59, 0, -1) if n % 3 != 2 and n % 7 % 3 != 2]
    found: list[int] = []
    while page := views.newest(states[:2], before=found[-1] if found else None, limit=4):
        found += [view.patch_id for view in page]
    assert found == expected
    assert views.newest([]) == views.newest(["nothing"]) == []


def test_the_address_of_the_archive(views: PatchViews, paths: ContainerPaths) -> None:
    """As the project said last; who does not say leaves it."""
    assert views.archive_format is None
    views.record_archive(None)
    assert not paths.d_mbox.exists()
    for said in ("https://old.example.org/{}", "https://lore.kernel.org/r/{}", None):
        views.record_archive(said)
    assert views.archive_format == "https://lore.kernel.org/r/{}"
    with PatchViews(paths) as others:
        assert others.archive_format == "https://lore.kernel.org/r/{}"
        others.record_archive("https://new.example.org/{}")
    assert views.archive_format == "https://new.example.org/{}"

"""Which project an index belongs to, the record of the last round, and the halt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_fakes import LIST, paths_in, write_index

from patchsync.errors import GiveUp, LockHeld, StoreDamaged
from patchsync.store.halt import halt, halted
from patchsync.store.identity import Origin, claim, list_containers, read_origin
from patchsync.store.json_file import read_record, write_record
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import store_lock

ORIGIN = Origin(
    url="https://patchwork.example.org/", project_id=1, link_name="jailhouse", list_email=LIST
)


def test_an_index_belongs_to_the_project_that_came_first(paths: ContainerPaths) -> None:
    """Which may come as often as it likes."""
    assert read_origin(paths) is None
    claim(paths, ORIGIN)
    claim(paths, ORIGIN)
    assert read_origin(paths) == ORIGIN


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"url": "https://other.example.org/"}, "https://other.example.org"),
        ({"project_id": 2}, "project id 1 and 2"),
        ({"link_name": "linux"}, "link name jailhouse and linux"),
    ],
)
def test_another_project_is_told_what_collides(
    paths: ContainerPaths, changes: dict[str, Any], named: str
) -> None:
    """And the first one keeps the index."""
    claim(paths, ORIGIN)
    with pytest.raises(GiveUp, match=named):
        claim(paths, replace(ORIGIN, **changes))
    assert read_origin(paths) == ORIGIN


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://patchwork.example.org"},
        {"url": "HTTPS://Patchwork.Example.org/"},
        {"list_email": "moved@example.org"},
    ],
)
def test_what_makes_no_other_project_does_not_collide(
    paths: ContainerPaths, changes: dict[str, Any]
) -> None:
    """Another spelling of the url, another address of the list."""
    claim(paths, ORIGIN)
    claim(paths, replace(ORIGIN, **changes))
    assert read_origin(paths) == ORIGIN


def test_of_two_that_claim_an_index_at_once_one_is_told(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at again under the lock."""

    @contextmanager
    def lock_too_late(path: Path, wait: float) -> Iterator[None]:
        monkeypatch.undo()
        claim(paths, ORIGIN)
        with store_lock(path, wait):
            yield

    monkeypatch.setattr("patchsync.store.identity.store_lock", lock_too_late)
    with pytest.raises(GiveUp, match="link name jailhouse and linux"):
        claim(paths, replace(ORIGIN, link_name="linux"))
    assert read_origin(paths) == ORIGIN


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": 1}', "\ud800"])
def test_a_foreign_origin_is_named(paths: ContainerPaths, content: str) -> None:
    """Rather than overwritten."""
    paths.own.mkdir(parents=True)
    paths.origin.write_text(content, errors="surrogatepass")
    with pytest.raises(StoreDamaged, match=r"origin\.json"):
        claim(paths, ORIGIN)


def test_an_origin_with_wrong_types_is_foreign(paths: ContainerPaths) -> None:
    """All fields are there, one is not what it should be."""
    claim(paths, ORIGIN)
    paths.origin.write_text(paths.origin.read_text().replace(": 1,", ': "1",'))
    with pytest.raises(StoreDamaged, match=r"origin\.json"):
        read_origin(paths)


def test_all_projects_of_a_store_are_listed(tmp_path: Path) -> None:
    """In both layouts, with their origin where it is known, and nothing else."""
    raw = paths_in(tmp_path, project_id=1)
    old = paths_in(tmp_path, layout="patchwork", project_id=2)
    foreign = paths_in(tmp_path, layout="patchwork", project_id=3)
    assert list_containers(tmp_path) == []
    claim(raw, ORIGIN)
    claim(old, replace(ORIGIN, project_id=2))
    write_index(raw, 1)
    write_index(foreign, 1)
    (tmp_path / "index" / "raw.list@example.org.archive.mbox").touch()
    (tmp_path / "index" / "pubin").mkdir()
    found = list_containers(tmp_path)
    assert [(c.paths.index, c.origin and c.origin.project_id) for c in found] == [
        (old.index, 2),
        (foreign.index, None),
        (raw.index, 1),
    ]
    assert found[0].paths == old
    assert found[2].paths == raw


def test_the_record_of_the_last_round_replaces_the_one_before(paths: ContainerPaths) -> None:
    """None before the first."""
    assert read_record(paths.round) is None
    write_record(
        paths, paths.round, {"at": "2026-07-25T12:00:00+00:00", "in_sync": False, "error": "x"}
    )
    write_record(
        paths, paths.round, {"at": "2026-07-25T12:05:00+00:00", "highest": 7, "in_sync": True}
    )
    assert read_record(paths.round) == {
        "at": "2026-07-25T12:05:00+00:00",
        "highest": 7,
        "in_sync": True,
    }


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 5000])
def test_a_foreign_record_is_named(paths: ContainerPaths, content: bytes) -> None:
    """Not a traceback in the status."""
    paths.own.mkdir(parents=True)
    paths.round.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"round\.json"):
        read_record(paths.round)


def test_a_halted_project_says_why_until_the_file_is_removed(paths: ContainerPaths) -> None:
    """The first reason is the one that matters."""
    assert halted(paths) is None
    halt(paths, "the server's database was restored\n")
    halt(paths, "and another thing")
    assert halted(paths) == "the server's database was restored"
    paths.halted.unlink()
    assert halted(paths) is None


def test_an_empty_halted_file_halts_too(paths: ContainerPaths) -> None:
    """Somebody who wants a halt may just touch it; the reason is never an empty, false text."""
    paths.own.mkdir(parents=True)
    paths.halted.touch()
    assert halted(paths)


def test_our_files_are_written_under_the_stores_lock(paths: ContainerPaths) -> None:
    """So that two processes never write one of them at once."""
    with store_lock(paths.lock):
        for write in (
            lambda: write_record(paths, paths.round, {}, wait=0),
            lambda: halt(paths, "x", wait=0),
            lambda: claim(paths, ORIGIN, wait=0),
        ):
            with pytest.raises(LockHeld):
                write()

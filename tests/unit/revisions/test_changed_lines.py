"""Which lines of patch-groups changed the engine says: the catalog need not read the others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from catalog_fakes import FakeStore, mail, name

from patchsync.analysis.group_file import Edit, write_content
from patchsync.analysis.groups import Changes, format_group
from patchsync.analysis.groups_record import GroupsRecord, fingerprint, fingerprint_after
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catch_up import catch_up


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """An empty one."""
    return FakeStore(tmp_path / "store")


def _written(store: FakeStore, before: list[str], after: list[str]) -> None:
    """Have patch-groups as the engine writes it, by the lines that change."""
    gone, new = ([line for line in some if line] for some in _changed(before, after))
    record = GroupsRecord(store.config)
    version = record.version
    assert version and record.looks
    edit = Edit(store.config.patch_groups, record.looks, gone, new)
    version = fingerprint_after(version, edit.gone, edit.new)
    looks = edit.write()
    record.wrote(version, looks, len(after), (edit.gone, edit.new))


def _changed(before: list[str], after: list[str]) -> tuple[list[bytes], list[bytes]]:
    def lines(some: list[str]) -> set[bytes]:
        return {
            format_group(
                map(name, each.partition("=>")[0].split()), each.partition("=>")[2].split()
            )
            for each in some
        }

    return list(lines(before) - lines(after)), list(lines(after) - lines(before))


def _rows(catalog: Catalog) -> list[list[tuple[object, ...]]]:
    """All that a catalog has of groups."""
    tables = ("member", "line", "upstream", "named", "tally WHERE number > 0")
    queries = (f"SELECT * FROM {table} ORDER BY 1" for table in tables)
    return [sorted(catalog._file.rows(query)) for query in queries]


def test_only_the_lines_that_changed_are_read(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a version that is known; what comes of it is what reading all of it finds."""
    numbers = range(1, 9)
    for number in numbers:
        store.put(number, mail())
    steps = [
        ["1 2", "3", "4", "5 6 7", "8"],
        ["1 2 3", "4", "5 6 7", "8"],
        ["1 2 3", "4 8", f"5 6 => {'a' * 40}", "7"],
        ["1 2", "3", "4", f"5 6 7 8 => {'b' * 40}"],
        ["3", "4", f"5 6 7 8 => {'b' * 40}"],
    ]
    store.group(*steps[0])
    record, content = GroupsRecord(store.config), store.config.patch_groups.read_bytes()
    lines = content.splitlines(keepends=True)
    looks = write_content(store.config.patch_groups, b"".join(sorted(lines)))
    record.wrote(fingerprint(lines), looks, len(lines))
    store.catalog().close()
    for at, (before, after) in enumerate(pairwise(steps)):
        _written(store, before, after)
        if at == 1:
            continue  # Two versions at once.
        with monkeypatch.context() as patch:
            patch.setattr("patchsync.revisions.catch_up.Changes", _not_to_be_called)
            assert catch_up(store.config)
        with store.catalog() as catalog, store.scratch() as fresh:
            assert _rows(catalog) == _rows(fresh)
            alone = {name(int(each)) for each in after if each.isdecimal()}
            in_none = {name(1), name(2)} if at == 3 else set()
            assert catalog.not_grouped(map(name, numbers)) == in_none
            assert all(catalog.group_of(each).message_ids == (each,) for each in alone)
    # Somebody else's is read, and so is ours after it.
    store.group("1 2 3")
    with store.catalog() as catalog:
        assert catalog.group_of(name(3)).message_ids == (name(1), name(2), name(3))
    lines = [format_group([name(4), name(8)], [])]
    looks = write_content(store.config.patch_groups, lines[0])
    GroupsRecord(store.config).wrote(fingerprint(lines), looks, 1)
    with store.catalog() as catalog, store.scratch() as fresh:
        assert _rows(catalog) == _rows(fresh)


def test_written_just_before_it_is_read(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is not taken for the version of before it."""
    for number in (1, 2, 3):
        store.put(number, mail())
    lines = [format_group([name(number)], []) for number in (1, 2, 3)]
    looks = write_content(store.config.patch_groups, b"".join(lines))
    GroupsRecord(store.config).wrote(fingerprint(lines), looks, 3)

    def changed_by_then(*of: Any) -> Changes:
        _written(store, ["1", "2"], ["1 2"])
        return Changes(*of)

    with monkeypatch.context() as patch:
        patch.setattr("patchsync.revisions.catch_up.Changes", changed_by_then)
        store.catalog().close()
    _written(store, ["1 2", "3"], ["1 2 3"])
    with store.catalog() as catalog, store.scratch() as fresh:
        assert _rows(catalog) == _rows(fresh)


def _not_to_be_called(*_: object) -> None:
    raise AssertionError

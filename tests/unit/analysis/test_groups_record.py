"""Who wrote patch-groups is known without reading it, and what changed since a version."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest
from analysis_fakes import Store, mail, version

from patchsync.analysis import group_file, groups_record
from patchsync.analysis.builtin import writing
from patchsync.analysis.groups import Group, line_hash, read_content
from patchsync.analysis.groups_record import GroupsRecord
from patchsync.errors import GiveUp


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With a group of two and one of one, written whole, then in part."""
    store = Store(tmp_path / "store")
    store.put(version(1))
    store.update()
    store.put(version(2), mail(3))
    store.update()
    return store


def in_place(file: Path) -> None:
    """Other letters, as many of them."""
    content = file.read_bytes().replace(b"<3@", b"<4@")
    with file.open("r+b") as opened:
        opened.write(content)


def in_place_with_its_time(file: Path) -> None:
    """As `touch -r` gives it back."""
    before = file.stat()
    time.sleep(0.02)  # The clock of files goes on.
    in_place(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(file: Path) -> None:
    """By one of the same size, with the same time."""
    before = file.stat()
    other = file.with_name("other")
    shutil.copy2(file, other)
    in_place(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


def appended(file: Path) -> None:
    """A line."""
    with file.open("ab") as opened:
        opened.write(b"<9@example.org>\n")


def beside_parts(file: Path) -> None:
    """The one file counts, whatever the parts are."""
    file.write_bytes(b"<9@example.org>\n")


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("write", [in_place, in_place_with_its_time, replaced, appended])
def test_somebody_elses_write_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], in_parts: bool
) -> None:
    """At once after ours, of the same size, with the same time: whatever shows least."""
    if in_parts:
        monkeypatch.setattr(group_file, "SPLIT_LIMIT", 40)
        monkeypatch.setattr(group_file.write_content, "__defaults__", (40,))
        monkeypatch.setattr(group_file.Edit.write, "__defaults__", (40,))
    store = Store(tmp_path / "store")
    store.put(version(1), version(2))
    store.update()
    store.put(mail(3))
    store.update()
    files = sorted(store.config.patch_groups.parent.glob("patch-groups*"))
    assert len(files) == (2 if in_parts else 1)
    assert GroupsRecord(store.config).version
    write(files[-1])
    theirs = read_content(store.config.patch_groups)
    for new in (True, False):
        if new:
            store.put(version(4))
        with pytest.raises(GiveUp, match="written by somebody else"):
            store.update()
    assert read_content(store.config.patch_groups) == theirs
    store.update(overwrite=True)
    ours = read_content(store.config.patch_groups)
    monkeypatch.undo()
    assert ours == store.from_scratch().encode()


def test_at_once_after_ours_a_hundred_times(tmp_path: Path) -> None:
    """Within what the clock of files cannot tell apart."""
    path = tmp_path / "patch-groups"
    for _ in range(100):
        looks = group_file.write_content(path, b"<3@example.org>\n")
        in_place(path)
        assert looks is None or looks != group_file.looks_of(path)


def test_parts_that_the_one_file_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PaStA reads it then."""
    monkeypatch.setattr(group_file.write_content, "__defaults__", (20,))
    store = Store(tmp_path / "store")
    store.put(mail(1), mail(2), mail(3))
    store.update()
    assert not store.config.patch_groups.exists()
    beside_parts(store.config.patch_groups)
    with pytest.raises(GiveUp, match="written by somebody else"):
        store.update()


@pytest.mark.parametrize("how", ["touched", "copied", "restored"])
def test_the_same_bytes_are_ours(store: Store, how: str) -> None:
    """However they look; from then on they are known without being read again."""
    groups, before = store.config.patch_groups, store.text
    if how == "touched":
        os.utime(groups)
    else:
        shutil.copy(groups, groups.with_name("copy"))
        if how == "restored":
            groups.unlink()
        groups.with_name("copy").replace(groups)
    assert GroupsRecord(store.config).version is None
    assert store.update().groups == 0
    assert store.text == before
    store.put(version(4))
    assert store.update().groups == 1
    assert store.text == store.from_scratch()
    assert GroupsRecord(store.config).version


def test_what_is_taken_over_is_read_again_while_it_is_new(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote it may write it within the same time of files; later nobody can."""
    os.utime(store.config.patch_groups)
    store.update()
    assert GroupsRecord(store.config).version is None
    monkeypatch.setattr(groups_record, "_SETTLED", -(10**12))
    store.update()
    assert GroupsRecord(store.config).version


def test_nothing_is_read_where_it_looks_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where nothing is new nor where one line is."""
    monkeypatch.setattr(writing, "read_content", _not_to_be_called)
    assert store.update().groups == 0
    store.put(version(4))
    assert store.update().groups == 1
    assert store.groups == ["1 2 4", "3"]


def _not_to_be_called(*_: object) -> None:
    raise AssertionError


def test_a_record_of_before_this_version(store: Store) -> None:
    """It has one hash of all bytes, by which the file is ours still."""
    record = store.cache.with_name("groups.json")
    whole = blake2b(store.text.encode(), digest_size=20).hexdigest()
    record.write_text(json.dumps({"hashes": [whole]}))
    store.put(version(4))
    assert store.update().groups == 1
    assert store.text == store.from_scratch()


def test_what_changed_since_a_version(store: Store) -> None:
    """Over several updates, and a line that came and went is none of it."""
    first = GroupsRecord(store.config).version
    assert first
    assert GroupsRecord(store.config).changed_since(first) == ([], set())
    store.put(version(4))
    store.update()
    store.put(version(5), mail(6))
    store.update()
    changed = GroupsRecord(store.config).changed_since(first)
    assert changed
    members = tuple(f"<{number}@example.org>" for number in (1, 2, 4, 5))
    assert [group for _, group in changed.new] == [
        Group(members, ()),
        Group(("<6@example.org>",), ()),
    ]
    assert [line for line, _ in changed.new] == [
        line_hash(line) for line in store.text.encode().splitlines(True) if b"3" not in line
    ]
    assert changed.gone == {line_hash(b"<1@example.org> <2@example.org>\n")}


def test_what_nobody_can_tell(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After somebody else's write, since another version, and since one too long ago."""
    monkeypatch.setattr(groups_record, "_MOST_KEPT", 60)
    first = GroupsRecord(store.config).version
    assert GroupsRecord(store.config).changed_since("0" * 32) is None
    assert GroupsRecord(store.config).changed_since(None) is None
    for number in range(10, 16):
        store.put(mail(number))
        store.update()
        last = GroupsRecord(store.config).version
    assert GroupsRecord(store.config).changed_since(first) is None
    assert GroupsRecord(store.config).changed_since(last) == ([], set())
    appended(store.config.patch_groups)
    assert GroupsRecord(store.config).changed_since(last) is None

"""Only the lines of patch-groups that change are looked for; what comes out is as if all were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsync.analysis import group_file
from patchsync.analysis.group_file import Edit, Looks, looks_of, place, write_content
from patchsync.analysis.groups import read_content
from patchsync.analysis.groups_record import fingerprint, fingerprint_after
from patchsync.errors import TryAgainLater

# Short and long ones, also longer than what is read at a time; commits alone stand last.
LINES = [b"<%03d@x>%s\n" % (at, b" <more@x>" * (at % 4 or 3 * (at % 7))) for at in range(40)]
LINES += [b"<long@x>" + b" <%04d@y>" % at * 900 + b"\n" for at in range(3)]
LINES += [b"=> %040x\n" % at for at in range(4)]
LIMIT, PART = 4096, 700
# More than what it takes from opening to having it replaced
STEPS = 40


def write(path: Path, lines: list[bytes]) -> Looks:
    """Have these lines there."""
    looks = write_content(path, b"".join(sorted(lines, key=place)), LIMIT)
    assert looks is not None
    return looks


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_file, "PART_SIZE", PART)
    monkeypatch.setattr(group_file, "_LINE", 16)
    monkeypatch.setattr(group_file, "_BLOCK", 50)


@given(
    before=st.sets(st.sampled_from(LINES)),
    gone=st.sets(st.sampled_from(LINES), max_size=5),
    new=st.sets(st.sampled_from(LINES), max_size=5),
)
def test_any_lines_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, before: set[bytes], gone: set[bytes], new: set[bytes]
) -> None:
    """In one file or in parts; lines that are there already, or never were, make no difference."""
    gone -= new
    path = tmp_path_factory.mktemp("groups") / "patch-groups"
    looks = write(path, list(before))
    edit = Edit(path, looks, gone, new)
    after = (before - gone) | new
    assert set(edit.gone) == before - after
    assert set(edit.new) == after - before
    assert fingerprint_after(fingerprint(before), edit.gone, edit.new) == fingerprint(after)
    if not edit.gone and not edit.new:
        return
    assert edit.write(LIMIT) == looks_of(path)
    content = b"".join(sorted(after, key=place))
    assert read_content(path) == content
    files = sorted(path.parent.iterdir())
    assert (files == [path]) == (len(content) <= LIMIT)
    assert all(
        file.stat().st_size <= LIMIT or file.read_bytes().count(b"\n") == 1 for file in files
    )


def test_one_part_is_written(tmp_path: Path) -> None:
    """The others stay the files that they are."""
    path = tmp_path / "patch-groups"
    lines = [b"<%04d@x>\n" % (2 * at) for at in range(600)]
    before = write(path, lines)
    after = Edit(path, before, [lines[300]], [b"<0601@x>\n"]).write(LIMIT)
    assert after is not None
    assert len(before) == 8
    assert len(set(before) & set(after)) == 7
    content = read_content(path)
    assert content and b"<0601@x>" in content and lines[300] not in content


def test_two_parts_are_written(tmp_path: Path) -> None:
    """A line moves from one to the other: all is there in one file until both are."""
    path = tmp_path / "patch-groups"
    lines = [b"<%04d@x>\n" % (2 * at) for at in range(600)]
    before = write(path, lines)
    after = Edit(path, before, [lines[500]], [b"<0001@x> " + lines[500]]).write(LIMIT)
    assert after is not None and after == looks_of(path)
    assert len(set(before) & set(after)) == 6
    lines[500:501] = []
    assert read_content(path) == b"".join(sorted([*lines, b"<0001@x> <1000@x>\n"]))


def test_parts_stay_small(tmp_path: Path) -> None:
    """One that grew to the double makes all to be split anew; what fits into one file is one."""
    path = tmp_path / "patch-groups"
    lines = [b"<%04d@x>\n" % at for at in range(0, 5000, 10)]
    looks = write(path, lines)
    for at in range(200):
        new = b"<%04d@x>\n" % (1001 + at + at // 9)
        lines.append(new)
        written = Edit(path, looks, [], [new]).write(LIMIT)
        assert written is not None
        looks = written
    assert read_content(path) == b"".join(sorted(lines))
    assert max(look.size for look in looks) <= 2 * PART
    written = Edit(path, looks, lines[100:], []).write(LIMIT)
    assert written is not None
    assert [look.name for look in written] == ["patch-groups"]


class Killed(BaseException):
    """The process was."""


@pytest.mark.parametrize("case", ["one file", "a part", "two parts", "becomes parts"])
def test_a_kill_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Whoever reads has all of the old or all of the new lines."""
    number = {"one file": 100, "becomes parts": 450}.get(case, 600)
    lines = [b"<%04d@x>\n" % (2 * at) for at in range(number)]
    new = [b"<0011@x>\n"] + [b"<0901@x>\n"] * (case == "two parts")
    new += [b"<0013@x>" + b" <more@x>" * 20 + b"\n"] * (case == "becomes parts")
    after = b"".join(sorted([*lines, *new]))
    ended = False
    for step in range(STEPS):
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / "patch-groups"
        edit = Edit(path, write(path, lines), [], new)
        with monkeypatch.context() as patch:
            _kill_at(patch, step)
            try:
                edit.write(LIMIT)
                ended = True
            except Killed:
                pass
        content = read_content(path)
        assert content in (b"".join(lines), after)
        if ended:
            assert content == after
            assert step > 2
            break
        # Who goes on from what counts then, whatever lies beside it, changes that.
        Edit(path, looks_of(path), [], [b"<0015@x>\n"]).write(LIMIT)
        lines_after = [*content.splitlines(keepends=True), b"<0015@x>\n"]
        assert read_content(path) == b"".join(sorted(lines_after))
        # Who finds that it does not look as noted writes all.
        assert write_content(path, after, LIMIT) == looks_of(path)
    assert ended


def _kill_at(patch: pytest.MonkeyPatch, step: int) -> None:
    left = iter(range(step))

    def counted(name: str) -> None:
        call = getattr(os, name)

        def one(*arguments: object, **options: object) -> object:
            if next(left, None) is None:
                raise Killed
            return call(*arguments, **options)

        patch.setattr(os, name, one)

    for name in ("replace", "rename", "unlink", "remove", "fsync", "utime"):
        counted(name)


@pytest.mark.parametrize("when", ["before it is looked at", "before it is written"])
def test_somebody_writes_it(tmp_path: Path, when: str) -> None:
    """Theirs stays, and is not mixed with ours."""
    path = tmp_path / "patch-groups"
    looks = write(path, LINES[:9])
    theirs = Random(1).randbytes(path.stat().st_size - 1) + b"\n"
    with pytest.raises(TryAgainLater, match="at this moment"):
        if when == "before it is looked at":
            path.write_bytes(theirs)
        edit = Edit(path, looks, [], [b"<new@x>\n"])
        path.write_bytes(theirs)
        edit.write(LIMIT)
    assert read_content(path) == theirs
    assert [file.name for file in tmp_path.iterdir()] == ["patch-groups"]


@pytest.mark.parametrize("replaced", [False, True])
def test_somebody_writes_it_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """In place, or another file: theirs stays."""
    path = tmp_path / "patch-groups"
    edit = Edit(path, write(path, LINES[:9]), [], [b"<new@x>\n"])
    theirs = b"<theirs@x>\n"

    def copied(edit: Edit, fd: int, start: int, end: int) -> Iterator[bytes]:
        yield from before(edit, fd, start, end)
        file = path.with_name("theirs") if replaced else path
        file.write_bytes(theirs)
        file.replace(path)

    before = Edit._copied
    monkeypatch.setattr(Edit, "_copied", copied)
    with pytest.raises(TryAgainLater, match="at this moment"):
        edit.write(LIMIT)
    assert path.read_bytes() == theirs


def test_cut_while_it_is_copied(tmp_path: Path) -> None:
    """As an editor, or PaStA, cuts it before it writes: no signal, no endless read."""
    path = tmp_path / "patch-groups"
    edit = Edit(path, write(path, LINES[:9]), [], [b"<new@x>\n"])
    path.write_bytes(b"")
    with pytest.raises(TryAgainLater):
        edit.write(LIMIT)
    assert path.read_bytes() == b""

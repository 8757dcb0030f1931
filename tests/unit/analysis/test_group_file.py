"""patch-groups is replaced as a whole: whoever reads finds the old or the new content."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsync.analysis.group_file import SPLIT_LIMIT, write_content
from patchsync.analysis.groups import format_group, read_content, read_groups
from patchsync.errors import TryAgainLater

ROOM = 36  # bytes: four lines of nine
ONE = b"".join(b"<one%d@x>\n" % number for number in range(4))
TWO = b"".join(b"<two%d@x>\n" % number for number in range(7))
TWO_OTHERS = b"".join(b"<was%d@x>\n" % number for number in range(8))
FOUR = b"".join(b"<all%x@x>\n" % number for number in range(16))


class Stopped(BaseException):
    """The process was killed."""


def stop_before(patch: pytest.MonkeyPatch, step: int) -> None:
    """Be killed before the nth thing that the system is asked to change, from 0."""
    done = 0

    def counting(call: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: object, **options: object) -> None:
            nonlocal done
            if done == step:
                raise Stopped
            done += 1
            call(*arguments, **options)

        return counted

    for name in ("replace", "rename", "unlink", "remove", "fsync"):
        patch.setattr(os, name, counting(getattr(os, name)))


def names(folder: Path) -> set[str]:
    """The files there that are no leftovers."""
    return {path.name for path in folder.iterdir() if path.suffix != ".new"}


def test_a_line_is_sorted_as_pasta_sorts_it() -> None:
    """Mails, then the commits; either alone."""
    assert format_group(["<b@x>", "<a@x>"], []) == b"<a@x> <b@x>\n"
    assert format_group({"<b@x>", "<ä@x>"}, ["b" * 40, "a" * 40]) == (
        f"<b@x> <ä@x> => {'a' * 40} {'b' * 40}\n".encode()
    )
    assert format_group([], ["b" * 40, "a" * 40]) == f"=> {'a' * 40} {'b' * 40}\n".encode()


def test_nothing_is_none(tmp_path: Path) -> None:
    """An empty file is something."""
    assert read_content(tmp_path / "patch-groups") is None
    write_content(tmp_path / "patch-groups", b"")
    assert read_content(tmp_path / "patch-groups") == b""


def test_the_one_file_counts(tmp_path: Path) -> None:
    """Parts beside it do not, and what only looks like a part never does."""
    path = tmp_path / "patch[groups]"
    (tmp_path / "patch[groups].001").write_bytes(b"<b@x>\n")
    (tmp_path / "patch[groups].000").write_bytes(b"<a@x>\n")
    (tmp_path / "patch[groups].002.new").write_bytes(b"<c@x>\n")
    assert read_content(path) == b"<a@x>\n<b@x>\n"
    path.write_bytes(ONE)
    assert read_content(path) == ONE


def test_a_part_that_goes_away_while_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the groups are never taken for all of them."""
    path = tmp_path / "patch-groups"
    write_content(path, TWO, ROOM)
    found = [tmp_path / "patch-groups.000", tmp_path / "patch-groups.001"]
    monkeypatch.setattr("patchsync.analysis.groups.part_paths", lambda path: found)
    found[1].unlink()
    with pytest.raises(TryAgainLater, match="was written while it was read"):
        read_content(path)


def test_parts_are_whole_lines(tmp_path: Path) -> None:
    """Each as large as it may be; one file where all fits into one."""
    path = tmp_path / "patch-groups"
    write_content(path, TWO, ROOM)
    assert names(tmp_path) == {"patch-groups.000", "patch-groups.001"}
    assert (tmp_path / "patch-groups.000").read_bytes() == TWO[:36]
    write_content(path, FOUR, ROOM - 1)
    assert len(names(tmp_path)) == 6
    write_content(path, ONE, ROOM)
    assert names(tmp_path) == {"patch-groups"}
    assert SPLIT_LIMIT == 50 * 1024 * 1024


@given(lengths=st.lists(st.integers(min_value=1, max_value=30)), limit=st.integers(1, 60))
def test_any_lines_are_split_as_pasta_does(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int
) -> None:
    """A part takes the next line as long as it does not exceed the limit by it."""
    lines = [b"a" * (length - 1) + b"\n" for length in lengths]
    content = b"".join(lines)
    parts: list[bytes] = []
    for line in lines:
        if parts and len(parts[-1]) + len(line) <= limit:
            parts[-1] += line
        else:
            parts.append(line)
    path = tmp_path_factory.mktemp("groups") / "patch-groups"
    write_content(path, content, limit)
    assert read_content(path) == content
    if len(content) > limit:
        found = sorted(path.parent.iterdir())
        assert [part.read_bytes() for part in found] == parts
        assert [part.name for part in found][:1] == ["patch-groups.000"]
    else:
        assert names(path.parent) == {"patch-groups"}


@pytest.mark.parametrize("new", [ONE, TWO, FOUR], ids=["one", "two parts", "four parts"])
@pytest.mark.parametrize(
    "old", [None, ONE[::-1], TWO_OTHERS, FOUR], ids=["none", "one", "two parts", "four parts"]
)
def test_a_kill_between_any_two_steps(tmp_path: Path, old: bytes | None, new: bytes) -> None:
    """Old or new, for us and for who reads the groups; the next write tidies up."""
    for step in range(100):
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / "patch-groups"
        if old is not None:
            write_content(path, old, ROOM)
        with pytest.MonkeyPatch.context() as patch:
            stop_before(patch, step)
            try:
                write_content(path, new, ROOM)
            except Stopped:
                ended = False
            else:
                ended = True
        content = read_content(path)
        assert content in (old, new)
        if content is not None and content != ONE[::-1]:
            members = [group.message_ids[0] for group in read_groups(path)]
            assert members == content.decode().split()
        if ended:
            assert content == new
            assert step > 2
            break
        write_content(path, new, ROOM)
        assert read_content(path) == new
        assert len(names(folder)) == (1 if len(new) <= ROOM else -(-len(new) // 36))
    else:
        raise AssertionError("it never ended")

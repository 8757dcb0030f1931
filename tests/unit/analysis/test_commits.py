"""Upstream commits: which are in a range, which are new in it, and each as PaStA sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pygit2 import Oid, Repository, Signature, init_repository, settings
from pygit2.enums import ConfigLevel, FileMode, ObjectType

from patchsync.analysis import commits
from patchsync.analysis.commits import (
    new_commits,
    open_repository,
    read_blacklist,
    read_commit,
    resolve_range,
)
from patchsync.analysis.patch import FileDiff, Hunk, NotAPatch
from patchsync.errors import ConfigError, TryAgainLater

INDIA = timezone(timedelta(hours=5, minutes=30))
LINES = "".join(f"line {number}\n" for number in range(20))


def list_commits(repository: Repository, range_: str) -> list[str]:
    """All commits of a range."""
    return new_commits(repository, None, resolve_range(repository, range_)).added


class Upstream:
    """A bare repository with branches; commits are a second apart."""

    def __init__(self, folder: Path) -> None:
        self.repository: Repository = init_repository(folder, bare=True)
        self._time = 1_600_000_000

    def commit(
        self,
        files: dict[str, str],
        *parents: str,
        message: bytes = b"A change\n",
        branch: str = "master",
    ) -> str:
        """Commit a tree of `files`, by their paths in one folder, and move the branch there."""
        tree = self.repository.TreeBuilder()
        for name, content in files.items():
            blob = self.repository.create_blob(content.encode())
            tree.insert(name, blob, FileMode.BLOB)
        self._time += 1
        author = f"A <a@example.org> {self._time} +0530".encode()
        committer = f"C <c@example.org> {self._time + 60} -0100".encode()
        lines = [b"tree " + str(tree.write()).encode()]
        lines += [b"parent " + parent.encode() for parent in parents]
        lines += [b"author " + author, b"committer " + committer, b"", message]
        # Raw, since only so a message may be of any bytes.
        made = str(self.repository.odb.write(ObjectType.COMMIT, b"\n".join(lines)))
        self.repository.references.create(f"refs/heads/{branch}", made, force=True)
        return made


@pytest.fixture
def no_git_config() -> Iterator[None]:
    """Without what this machine's git config allows."""
    levels = (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL)
    before = [settings.search_path[level] for level in levels]
    for level in levels:
        settings.search_path[level] = "/nowhere"
    yield
    for level, path in zip(levels, before, strict=True):
        settings.search_path[level] = path


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """An empty repository, whose HEAD is master."""
    made = Upstream(tmp_path / "upstream.git")
    made.repository.set_head("refs/heads/master")
    return made


def test_a_range_is_what_git_log_makes_of_it(upstream: Upstream) -> None:
    """`A..B`, `A..` and `B`, by branch, tag or hash; newest first, merges left out."""
    first = upstream.commit({"a": "1"})
    tagged = upstream.commit({"a": "2"}, first)
    upstream.repository.create_tag(
        "v1", Oid(hex=tagged), ObjectType.COMMIT, Signature("A", "a@example.org", 1), "one"
    )
    aside = upstream.commit({"a": "1", "b": "1"}, first, branch="topic")
    third = upstream.commit({"a": "3"}, tagged)
    merge = upstream.commit({"a": "3", "b": "1"}, third, aside)
    last = upstream.commit({"a": "4", "b": "1"}, merge)
    listed = {
        range_: list_commits(upstream.repository, range_)
        for range_ in ("v1..", "v1..master", f"{third[:12]}..{last}", "..topic", "v1", "master")
    }
    assert listed == {
        "v1..": [last, third, aside],
        "v1..master": [last, third, aside],
        f"{third[:12]}..{last}": [last, aside],
        "..topic": [],
        "v1": [tagged, first],
        "master": [last, third, aside, tagged, first],
    }
    assert resolve_range(upstream.repository, "v1..") == f"{tagged}..{last}"
    assert resolve_range(upstream.repository, "v1") == tagged


@pytest.mark.parametrize(
    "range_", ["", "nope", "nope..master", "master..nope", "master...v1", "--all", "master^{tree}"]
)
def test_what_is_no_range_is_named(upstream: Upstream, range_: str) -> None:
    """The error names the key, its value and the repository."""
    first = upstream.commit({"a": "1"})
    upstream.repository.references.create("refs/tags/v1", first)
    with pytest.raises(ConfigError) as caught:
        resolve_range(upstream.repository, range_)
    assert f"[analysis] upstream = {range_!r}" in str(caught.value)
    assert upstream.repository.path in str(caught.value)


@pytest.mark.parametrize("name", ["upstream.git", "work"])
def test_a_repository_is_bare_or_has_a_work_tree(tmp_path: Path, name: str) -> None:
    """As people clone it, or as servers keep it."""
    init_repository(tmp_path / name, bare=name.endswith(".git"))
    assert tmp_path / name in {Path(open_repository(tmp_path / name).path).parent, tmp_path / name}


@pytest.mark.parametrize("name", ["absent", "upstream.git/objects"])
def test_what_is_no_repository_is_named(tmp_path: Path, upstream: Upstream, name: str) -> None:
    """Also a folder within one, which git itself would take for it."""
    with pytest.raises(ConfigError, match=rf"\[analysis\] repo = '{tmp_path / name}': .*not found"):
        open_repository(tmp_path / name)


@pytest.mark.usefixtures("no_git_config")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_somebody_else_says_what_to_do(tmp_path: Path, upstream: Upstream) -> None:
    """Git refuses it for the sake of safety; the error names the setting that allows it."""
    os.chown(tmp_path / "upstream.git", 12345, 12345)
    with pytest.raises(ConfigError, match=rf"safe\.directory {tmp_path / 'upstream.git'}"):
        open_repository(tmp_path / "upstream.git")


def test_only_what_came_is_new(upstream: Upstream) -> None:
    """Between two states of a branch: also what a merge brought that is older than its tip."""
    repository = upstream.repository
    first = upstream.commit({"a": "1"})
    aside = upstream.commit({"a": "1", "b": "1"}, first, branch="topic")
    second = upstream.commit({"a": "2"}, first)
    before = resolve_range(repository, f"{first}..master")
    assert new_commits(repository, None, before) == ([second], True)
    assert new_commits(repository, before, before) == ([], False)
    merge = upstream.commit({"a": "2", "b": "1"}, second, aside)
    last = upstream.commit({"a": "3", "b": "1"}, merge)
    now = resolve_range(repository, f"{first}..master")
    assert new_commits(repository, before, now) == ([last, aside], False)


def test_what_the_start_leaves_out_is_not_new(upstream: Upstream) -> None:
    """Also when it comes into the branch only later, by a merge."""
    repository = upstream.repository
    first = upstream.commit({"a": "1"})
    start = upstream.commit({"a": "1", "b": "1"}, first, branch="topic")
    second = upstream.commit({"a": "2"}, first)
    before = resolve_range(repository, f"{start}..master")
    upstream.commit({"a": "2", "b": "1"}, second, start)
    now = resolve_range(repository, f"{start}..master")
    assert new_commits(repository, before, now) == ([], False)


def test_a_range_that_was_rewritten_is_read_anew(upstream: Upstream) -> None:
    """When the tip is no descendant of the one before, or that is not there any more."""
    repository = upstream.repository
    first = upstream.commit({"a": "1"})
    upstream.commit({"a": "2"}, first)
    before = resolve_range(repository, "master")
    other = upstream.commit({"a": "3"}, first)
    now = resolve_range(repository, "master")
    assert new_commits(repository, before, now) == ([other, first], True)
    assert new_commits(repository, "0" * 40, now) == ([other, first], True)


@pytest.mark.parametrize("moved", ["{first}..master", "master"])
def test_a_range_with_another_start_is_read_anew(upstream: Upstream, moved: str) -> None:
    """Moved forward or taken away: what is in it changed at its beginning."""
    first = upstream.commit({"a": "1"})
    second = upstream.commit({"a": "2"}, first)
    third = upstream.commit({"a": "3"}, second)
    before = resolve_range(upstream.repository, f"{second}..master")
    now = resolve_range(upstream.repository, moved.format(first=first))
    found = new_commits(upstream.repository, before, now)
    assert found.complete
    assert found.added[:2] == [third, second]


def test_a_commit_is_read_as_a_mail_is(upstream: Upstream) -> None:
    """Its message without tags, its author's date in his zone, its diff by file and heading."""
    first = upstream.commit({"a": LINES})
    message = b"Change it\n\nIt was wrong.\n\nSigned-off-by: A <a@example.org>\n"
    second = upstream.commit({"a": LINES.replace("line 12\n", "new\n")}, first, message=message)
    patch = read_commit(upstream.repository, second)
    assert patch.message == ("Change it", "It was wrong.")
    assert patch.author_date == datetime(2020, 9, 13, 17, 56, 42, tzinfo=INDIA)
    assert patch.author_date.utcoffset() == INDIA.utcoffset(None)
    assert not patch.is_revert
    assert patch.files == {("a",): FileDiff(0, {"line 8": Hunk(("line 12",), ("new",))})}
    assert patch.lines == 2


def test_a_revert_is_known_by_its_message(upstream: Upstream) -> None:
    """Also a commit's, by the word."""
    made = upstream.commit({"a": "1"}, message=b'Revert "A change"\n')
    assert read_commit(upstream.repository, made).is_revert


def test_a_rename_is_found(upstream: Upstream) -> None:
    """As git finds it, with its similarity, and not as a file gone and another made."""
    first = upstream.commit({"old": LINES, "whole": LINES[::-1]})
    moved = {"new": LINES.replace("line 12\n", "new\n"), "whole too": LINES[::-1]}
    patch = read_commit(upstream.repository, upstream.commit(moved, first))
    assert 50 < patch.files["old", "new"].similarity < 100
    assert patch.files["whole", "whole too"] == FileDiff(100, {})
    assert patch.lines == 2


def test_what_is_no_change_to_one_parent_has_no_files(upstream: Upstream) -> None:
    """A root, an empty commit, a merge."""
    root = upstream.commit({"a": "1"})
    empty = upstream.commit({"a": "1"}, root)
    merge = upstream.commit({"a": "2"}, empty, root)
    for made in (root, empty, merge):
        patch = read_commit(upstream.repository, made)
        assert (patch.files, patch.lines) == ({}, 0)


@pytest.mark.parametrize("message", ["Größe".encode(), "Größe".encode("iso8859-1")])
def test_a_message_is_utf8_or_else_latin1(upstream: Upstream, message: bytes) -> None:
    """No commit is lost for the encoding of its message."""
    made = upstream.commit({"a": "1"}, message=message)
    assert read_commit(upstream.repository, made).message == ("Größe",)


def test_a_message_is_split_at_line_feeds_alone(upstream: Upstream) -> None:
    """Unlike a mail's: other characters that end lines elsewhere stay within them."""
    made = upstream.commit({"a": "1"}, message=b"One\n\ntwo\x0cthree\x1dfour\n")
    assert read_commit(upstream.repository, made).message == ("One", "two\x0cthree\x1dfour")


def test_a_commit_that_is_not_there(upstream: Upstream) -> None:
    """As in a partial clone: that says nothing of the commit; the error names setting and hash."""
    blob = str(upstream.repository.create_blob(b"1"))
    for wrong in ("1" * 40, blob, "master..", "nope"):
        with pytest.raises(TryAgainLater, match=rf"\[analysis\] repo.*commit {wrong}"):
            read_commit(upstream.repository, wrong)


def test_a_commit_that_pasta_cannot_read(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is no patch, whatever it stumbled over."""

    def stumble(lines: list[str]) -> None:
        raise IndexError("a hunk ends too early")

    monkeypatch.setattr(commits, "read_diff", stumble)
    tip = upstream.commit({"a.c": LINES})
    with pytest.raises(NotAPatch, match=f"commit {tip}: IndexError"):
        read_commit(upstream.repository, tip)


def test_a_blacklist_has_a_hash_on_a_line(tmp_path: Path) -> None:
    """Comments and empty lines are not of it, in whatever encoding."""
    file = tmp_path / "blacklist"
    file.write_bytes(f"# gr\xf6\xdfer\n{'1' * 40}\r\n\n{'a' * 40}\n#{'2' * 40}\n".encode("latin1"))
    assert read_blacklist(file) == {"1" * 40, "a" * 40}


def test_a_blacklist_that_is_absent_is_named(tmp_path: Path) -> None:
    """The error names the key and the file."""
    with pytest.raises(
        ConfigError, match=rf"upstream_blacklist = '{tmp_path / 'absent'}': No such"
    ):
        read_blacklist(tmp_path / "absent")

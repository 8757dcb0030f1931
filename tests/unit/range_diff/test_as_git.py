"""What is shown of two patches is what the real `git range-diff` shows of the same two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pygit2
import pytest

from patchsync.range_diff.format import plain
from patchsync.range_diff.pairing import pair
from patchsync.range_diff.patch_text import PatchText, read_commit_text, read_mail_text
from tests.support.git_program import Git, need_git


@pytest.fixture
def git(tmp_path: Path) -> Iterator[Git]:
    """A repository with one commit, and nothing to compare yet."""
    need_git()
    git = Git(tmp_path / "repository")
    git("config", "core.abbrev", "12")
    write(git, "file.c", b"".join(b"line %d\n" % number for number in range(60)))
    git.commit(b"Begin\n")
    yield git


def write(git: Git, name: str, content: bytes) -> None:
    """A file of the work tree."""
    file = git.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def texts_of(git: Git, commits: Sequence[str], how: str) -> list[PatchText]:
    """The patches of commits, as commits or by the mails that git makes of them."""
    if how == "commits":
        repository = pygit2.Repository(git.folder)
        return [read_commit_text(repository, commit) for commit in commits]
    return [read_mail_text([git.mail(commit)], commit[:12]) for commit in commits]


def expect_as_git(git: Git, left: Sequence[str], right: Sequence[str]) -> None:
    """Two series, each of commits in a row, are shown as git shows them."""
    ranges = [f"{series[0]}^..{series[-1]}" for series in (left, right)]
    shown = git("range-diff", "--no-color", *ranges).decode(errors="replace")
    for how in ("commits", "mails"):
        pairs = pair(texts_of(git, left, how), texts_of(git, right, how))
        assert "".join(f"{line}\n" for line in plain(pairs)) == shown, how


def test_two_commits_with_other_lines_and_another_message(git: Git) -> None:
    """The usual case: a line of the patch is another one, and the message has grown."""
    hashes = []
    for word, message in (
        (b"new", b"Change it\n\nBecause.\n"),
        (b"newer", b"Change it\n\nBecause,\tand why.\n"),
    ):
        git("reset", "--quiet", "--hard", "main")
        git("checkout", "--quiet", "--detach")
        lines = (git.folder / "file.c").read_bytes().splitlines(keepends=True)
        lines[30] = word + b"\n"
        write(git, "file.c", b"".join(lines))
        hashes.append(git.commit(message))
    expect_as_git(git, hashes[:1], hashes[1:])

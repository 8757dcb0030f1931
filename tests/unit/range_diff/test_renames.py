"""Which files of a commit are renamed is decided as git does."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pygit2
import pytest
from pygit2.enums import FileMode

from patchsync.analysis.patch import NotAPatch
from patchsync.range_diff.patch_text import read_commit_text, read_mail_text
from tests.support.git_program import Git, need_git
from tests.support.random_series import Step, Tree, commit

NAMES = ["Makefile", "main.c", "uart.h", "console.h", "timer.h"]
FOLDERS = ["arch/arm", "arch/arm64", "arch/x86", "lib", "lib/arm", ""]


def path(random: Random) -> str:
    """A few names in a few folders: each name often."""
    return "/".join(filter(None, (random.choice(FOLDERS), random.choice(NAMES))))


def moved(random: Random, tree: Tree) -> Tree:
    """Most files under another path, with more or less of their lines."""
    kept: Tree = {}
    for content, mode in tree.values():
        lines = content.splitlines(keepends=True)
        for _ in range(random.choice((0, 0, 1, len(lines) // 3, len(lines) // 2))):
            lines[random.randrange(len(lines))] = b"%d\n" % random.randrange(10**6)
        if random.random() < 0.8:
            executable = random.random() < 0.1
            kept[path(random)] = (b"".join(lines), FileMode.BLOB_EXECUTABLE if executable else mode)
    return kept


def first(random: Random) -> Tree:
    """Files that have much in common, some of them the same."""
    lines = [b"line %d of all\n" % number for number in range(40)]
    tree: Tree = {}
    for _ in range(14):
        chosen = sorted(random.sample(range(40), random.choice((5, 20, 30))))
        # Not a last line without its end: git counts it since 2.44 only.
        end = random.choice((b"", b"x" * 200 + b"\n", b"\r\n" * 9, b"\0\n"))
        tree[path(random)] = (b"".join(lines[at] for at in chosen) + end, FileMode.BLOB)
    return tree


def expect_as_git(folder: Path, random: Random, rounds: int) -> None:
    """Commits by chance, each read by libgit2 and from the mail that git makes of it."""
    need_git()
    git = Git(folder)
    repository = pygit2.Repository(folder)
    renames = 0
    for _ in range(rounds):
        tree = first(random)
        base = commit(repository, tree, Step((), "Begin", ""))
        change = commit(repository, moved(random, tree), Step((), "Move", ""), [base])
        ours, gits = read_commit_text(repository, change), read_mail_text([git.mail(change)])
        assert ours.diff.decode(errors="replace") == gits.diff.decode(errors="replace")
        renames += ours.diff.count(b" => ")
    assert renames > rounds


def test_renames_by_chance(tmp_path: Path, random: Random) -> None:
    """Files that are the same, of one name, or alike, several of each."""
    expect_as_git(tmp_path / "repository", random, 40)


@pytest.mark.long
def test_many_renames_by_chance(tmp_path: Path, random: Random) -> None:
    """The same, for minutes."""
    expect_as_git(tmp_path / "repository", random, 3000)


def test_what_is_no_patch(tmp_path: Path) -> None:
    """No such commit, a merge, or one whose files are not there: it is told."""
    repository = pygit2.init_repository(tmp_path, bare=True)
    tree: Tree = {"a": (b"a\n", FileMode.BLOB)}
    base = commit(repository, tree, Step((), "Begin", ""))
    side = commit(repository, tree, Step((), "Side", ""), [base])
    merge = commit(repository, tree, Step((), "Merge", ""), [base, side])
    # A first commit is the patch of all its files.
    assert read_commit_text(repository, base).diff == b" ## a (new) ##\n@@\n+a\n"
    with pytest.raises(NotAPatch, match="no commit"):
        read_commit_text(repository, "0" * 40)
    with pytest.raises(NotAPatch, match="merge"):
        read_commit_text(repository, merge)
    blob = str(repository.create_blob(b"a\n"))
    (tmp_path / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(NotAPatch, match="not all there"):
        read_commit_text(pygit2.Repository(tmp_path), base)

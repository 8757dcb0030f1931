"""What is shown of two patches is what the real `git range-diff` shows of the same two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pygit2
import pytest
from pygit2.enums import FileMode

from patchsync.range_diff.format import ansi, plain
from patchsync.range_diff.pairing import Pair, pair
from patchsync.range_diff.patch_text import (
    PatchText,
    read_commit_text,
    read_mail_text,
    read_mailmap,
)
from tests.support.git_program import Git, need_git
from tests.support.random_series import (
    Step,
    Tree,
    commit,
    commit_all,
    first_tree,
    random_steps,
    revised,
)

LINES = b"".join(b"line %d\n" % number for number in range(60))
FILE = FileMode.BLOB


class Bench:
    """A repository with one commit, and what git and we show of series upon it."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        need_git()
        self.git = Git(folder)
        self.git("config", "core.abbrev", "12")
        self.repository = pygit2.Repository(folder)
        self.tree = tree
        self.base = commit(self.repository, tree, Step((), "Begin", ""))

    def series(self, *commits: tuple[Tree, str]) -> list[str]:
        """Commits in a row, each of all its files and its message; their hashes."""
        hashes = [self.base]
        for tree, message in commits:
            title, _, body = message.partition("\n\n")
            hashes.append(commit(self.repository, tree, Step((), title, body), hashes[-1:]))
        return hashes[1:]

    def git_shows(self, left: Sequence[str], right: Sequence[str], colour: str = "never") -> str:
        """The output of git range-diff."""
        ranges = (f"{self.base}..{series[-1]}" for series in (left, right))
        return self.git("range-diff", f"--color={colour}", *ranges).decode(errors="replace")

    def commits(self, hashes: Sequence[str]) -> list[PatchText]:
        """The patches, by libgit2."""
        return [read_commit_text(self.repository, each) for each in hashes]

    def mails(self, hashes: Sequence[str]) -> list[PatchText]:
        """The patches, by the mails that git makes of them."""
        return [read_mail_text([self.git.mail(each, "--always")], each[:12]) for each in hashes]

    def expect_as_git(self, left: Sequence[str], right: Sequence[str]) -> str:
        """Two series are shown as git shows them; what that is."""
        shown = self.git_shows(left, right)
        for read in (self.commits, self.mails):
            assert as_text(pair(read(left), read(right))) == shown, read.__name__
        return shown


def as_text(pairs: Sequence[Pair]) -> str:
    """All that is shown of them."""
    return "".join(f"{line}\n" for line in plain(pairs))


def with_line(number: int, line: bytes, content: bytes = LINES) -> bytes:
    """The content with another line in the place of one of it."""
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:number], line, *lines[number + 1 :]])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With one file of lines, and some odd ones."""
    return Bench(
        tmp_path / "repository",
        {
            "file.c": (LINES, FILE),
            "image.png": (b"\x89PNG\0one", FILE),
            "dos.txt": (LINES.replace(b"\n", b"\r\n"), FILE),
            "a b": (LINES, FILE),
            'q"uo\\te\t': (LINES, FILE),
            "ünï": (LINES, FILE),
            "cut.c": (b"x" * 79 + b" y\n" + b" line\n" * 9, FILE),
            "odd.c": (b"int \xff\n" + b" line\n" * 9, FILE),
            "link": (b"file.c", FileMode.LINK),
        },
    )


def test_another_line_and_another_message(bench: Bench) -> None:
    """The usual case."""
    (left,) = bench.series(({**bench.tree, "file.c": (with_line(30, b"new\n"), FILE)}, "Change it"))
    (right,) = bench.series(
        ({**bench.tree, "file.c": (with_line(30, b"newer\n"), FILE)}, "Change it\n\nBecause.\n")
    )
    shown = bench.expect_as_git([left], [right])
    assert "    -+new\n    ++newer\n" in shown
    assert "    +    Because.\n" in shown


CHANGES: dict[str, Callable[[Tree], Tree]] = {
    "new": lambda tree: tree | {"new.c": (LINES, FILE)},
    "new and empty": lambda tree: tree | {"new file": (b"", FILE)},
    "deleted": lambda tree: {name: tree[name] for name in tree if name != "file.c"},
    "renamed": lambda tree: moved(tree, "file.c", "moved here.c"),
    "renamed odd": lambda tree: moved(tree, 'q"uo\\te\t', "ünï \t"),
    "renamed and changed": lambda tree: moved(tree, "a b", "b a", with_line(30, b"new\n")),
    "copied": lambda tree: tree | {"copy.c": (LINES, FILE), "file.c": (LINES + b"\n", FILE)},
    "mode": lambda tree: tree | {"a b": (LINES, FileMode.BLOB_EXECUTABLE)},
    "mode of a binary": lambda tree: (
        tree | {"image.png": (tree["image.png"][0], FileMode.BLOB_EXECUTABLE)}
    ),
    "mode and line": lambda tree: (
        tree | {"ünï": (with_line(3, b"new\n"), FileMode.BLOB_EXECUTABLE)}
    ),
    "kind": lambda tree: tree | {"link": (b"no link any more\n", FILE)},
    "link": lambda tree: tree | {"link": (b"a b", FileMode.LINK)},
    "binary": lambda tree: tree | {"image.png": (b"\0two", FILE)},
    "new binary": lambda tree: tree | {"ünï.png": (b"\0three", FILE)},
    "deleted binary": lambda tree: {name: tree[name] for name in tree if name != "image.png"},
    "renamed binary": lambda tree: moved(tree, "image.png", "b.png"),
    "text to binary": lambda tree: tree | {"a b": (b"\0", FILE)},
    "CRLF": lambda tree: tree | {"dos.txt": (with_line(30, b"new\r\n", tree["dos.txt"][0]), FILE)},
    "no newline at the end": lambda tree: tree | {"file.c": (LINES[:-1], FILE)},
    "no newline in either": lambda tree: tree | {"link": (b"other", FileMode.LINK)},
    "a NUL far behind": lambda tree: tree | {"file.c": (LINES * 30 + b"x\0y\nz\n", FILE)},
    "a patch within": lambda tree: (
        tree | {"a.patch": (b"diff --git a/x b/x\n--- a/x\n@@ -1 +1 @@ f\n-- \n ## x ##\n", FILE)}
    ),
    "blank at the ends": lambda tree: tree | {"a b": (with_line(9, b"  new \t \n"), FILE)},
    "no UTF-8": lambda tree: tree | {"a b": (with_line(9, b"gr\xfc\xdfe\n"), FILE)},
    "heading cut behind a space": lambda tree: (
        tree | {"cut.c": (tree["cut.c"][0] + b" more\n", FILE)}
    ),
    "heading that ends in no UTF-8": lambda tree: (
        tree | {"odd.c": (tree["odd.c"][0] + b" more\n", FILE)}
    ),
    "nothing": lambda tree: tree,
}


def moved(tree: Tree, old: str, new: str, content: bytes | None = None) -> Tree:
    """The files with one of them under another name."""
    others = {name: tree[name] for name in tree if name != old}
    was, mode = tree[old]
    return others | {new: (was if content is None else content, mode)}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_kind_of_change(bench: Bench, change: Callable[[Tree], Tree]) -> None:
    """Beside a line that differs, so that it is context; and against a patch without it."""
    two = [{**bench.tree, "main.c": (b"%d\n" % number * 5, FILE)} for number in range(2)]
    left = bench.series((change(two[0]), "Change it"))
    changed = bench.series((change(two[1]), "Change it"))
    without = bench.series((two[0], "Change it\n\nAnd why.\n"))
    bench.expect_as_git(left, changed)
    bench.expect_as_git(left, without)


def test_a_heading_that_is_cut_off_at_a_blank(tmp_path: Path) -> None:
    """git leaves no blank at its end; libgit2 does."""
    content = b"x" * 79 + b" y\n" + LINES.replace(b"line", b" line")
    bench = Bench(tmp_path / "repository", {"a": (content, FILE)})
    left, right = (
        bench.series(({"a": (with_line(50, line, content), FILE)}, "Change it"))
        for line in (b"new\n", b"newer\n")
    )
    assert f"@@ a: {'x' * 76}" in bench.expect_as_git(left, right)


MESSAGES = {
    "tabs": "Title\n\nA\tb\n漢字\tb\né\tb\n\tb\n",
    "blanks at ends": "Title \n\nline  \n\t\nline\n",
    "like a diff": "Title\n\n ## file ##\n    @@ -1 +1 @@\n+line\n",
    "long title": "Title " + "that goes on and on, " * 8 + "to its end\n",
    "title not in ASCII": "Títle " + "of wide 漢字 characters, " * 5 + "\n",
    "like headers": "Title\n\nText.\nFrom: x\nSubject: y\n",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_messages(bench: Bench, message: str) -> None:
    """As git log shows them: indented, tabs as spaces, none at the ends of lines."""
    tree = {**bench.tree, "file.c": (LINES + b"new\n", FILE)}
    left, right = bench.series((tree, message)), bench.series((tree, message + "\nMore.\n"))
    bench.expect_as_git(left, right)


def test_a_commit_in_another_charset_with_a_note(bench: Bench) -> None:
    """It is shown in UTF-8; what is noted on the commit is a section."""
    tree = {**bench.tree, "file.c": (LINES + b"new\n", FILE)}
    step = Step((), "Größe", "Because.\n", "Jörg", "iso-8859-1")
    left = commit(bench.repository, tree, step, [bench.base])
    right = commit(bench.repository, tree, Step((), "Other", ""), [bench.base])
    bench.git("notes", "add", "-m", "A note\n\n\tof two lines", left)
    shown = bench.git_shows([left], [right])
    assert "Größe" in shown and "## Notes ##" in shown
    assert as_text(pair(bench.commits([left]), bench.commits([right]))) == shown


def test_authors_are_called_as_the_mailmap_says(bench: Bench) -> None:
    """Those of mails too where it is known of which repository."""
    mailmap = "Jörg <new@example.org> A U Thor <author@example.org>\n"
    (bench.git.folder / ".mailmap").write_text(mailmap)
    tree = {**bench.tree, "file.c": (LINES + b"new\n", FILE)}
    left, right = (
        commit(bench.repository, tree, Step((), "Change it", "", author), [bench.base])
        for author in ("A U Thor", "Söm Body")
    )
    shown = bench.git_shows([left], [right])
    assert "    -Author: Jörg <new@example.org>\n" in shown
    commits = bench.commits([left, right])
    assert as_text(pair(commits[:1], commits[1:])) == shown
    mails = [
        read_mail_text([bench.git.mail(each)], each[:12], read_mailmap(bench.repository))
        for each in (left, right)
    ]
    assert mails == commits
    assert b"Author: A U Thor <author@" in bench.mails([left])[0].text


def test_colours(bench: Bench) -> None:
    """Coloured twice: in which patch a line is, and what the patch does."""
    left = bench.series(
        ({**bench.tree, "file.c": (with_line(30, b"new\n"), FILE)}, "Change it"),
        ({**bench.tree, "file.c": (with_line(9, b"new\n"), FILE)}, "Drop it"),
    )
    right = bench.series(
        ({**bench.tree, "file.c": (with_line(31, b"newer\n"), FILE)}, "Change it\n\nBecause."),
        ({**bench.tree, "ünï": (LINES + b"new\n" * 60, FILE)}, "New"),
    )
    pairs = pair(bench.commits(left), bench.commits(right))
    shown = bench.git_shows(left, right, colour="always")
    assert "".join(f"{line}\n" for line in ansi(pairs)) == shown


def expect_series_as_git(folder: Path, random: Random, rounds: int) -> None:
    """Series by chance, each against its revision."""
    bench = Bench(folder, first_tree(random))
    for _ in range(rounds):
        steps = random_steps(random, random.randint(1, 6))
        left, right = (
            commit_all(bench.repository, bench.base, bench.tree, series)
            for series in (steps, revised(random, steps))
        )
        bench.expect_as_git(left, right)


def test_series_by_chance(tmp_path: Path, random: Random) -> None:
    """Changed, dropped, new and moved parts, and every odd file, by mails and by commits."""
    expect_series_as_git(tmp_path / "repository", random, 10)


@pytest.mark.long
def test_many_series_by_chance(tmp_path: Path, random: Random) -> None:
    """The same, for minutes."""
    expect_series_as_git(tmp_path / "repository", random, 1000)

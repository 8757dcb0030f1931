"""Diffs, read as PaStA reads them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from patchsync.analysis.diff import FilterdiffTooSlow, NoFilterdiff, read_diff
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import FileDiff, FileKey, Hunk

needs_filterdiff = pytest.mark.skipif(
    shutil.which("filterdiff") is None, reason="filterdiff is not installed: see patchutils"
)

HEADER = ["--- a/x.c", "+++ b/x.c"]
CONTEXT_DIFF = """\
*** a/x.c\t2020-01-01
--- b/x.c\t2020-01-02
***************
*** 1,2 ****
! old
  same
--- 1,2 ----
! new
  same
""".splitlines()


def files_of(*lines: str) -> dict[FileKey, FileDiff]:
    """The files of a diff with these lines."""
    return read_diff(list(lines))[0]


def names_of(*lines: str) -> FileKey:
    """The only file's names; the header lines get a hunk."""
    (key,) = files_of(*lines, "@@ -1 +1 @@", "-a", "+b")
    return key


def test_a_file_and_its_hunk() -> None:
    """Changed lines without their marks, under the heading; context is left out."""
    diff = [*HEADER, "@@ -1,3 +1,4 @@ int f()", " kept", "-old", "+new", "+newer", " kept"]
    assert read_diff(diff) == (
        {("x.c",): FileDiff(0, {"int f()": Hunk(("old",), ("new", "newer"))})},
        3,
    )


def test_hunks_under_one_heading_are_one() -> None:
    """In order, also where another heading is between them or the file comes again."""
    one, two, three = (["@@ -1 +1 @@ f", f"-o{n}", f"+n{n}"] for n in range(3))
    other = ["@@ -1,0 +1 @@ g", "+x"]
    assert files_of(*HEADER, *one, *other, *two, *HEADER, *three) == {
        ("x.c",): FileDiff(
            0, {"f": Hunk(("o0", "o1", "o2"), ("n0", "n1", "n2")), "g": Hunk((), ("x",))}
        )
    }


def test_files_keep_their_order() -> None:
    """It decides between equally good matches."""
    hunk = ["@@ -0,0 +1 @@", "+x"]
    diff = [line for name in "cab" for line in (f"--- a/{name}", f"+++ b/{name}", *hunk)]
    assert list(files_of(*diff)) == [("c",), ("a",), ("b",)]


def test_empty_lines_are_counted_but_not_kept() -> None:
    """A changed line with nothing in it counts as changed."""
    diff = [*HEADER, "@@ -1,2 +1,2 @@", "-", "+", "-a", "+b"]
    assert read_diff(diff) == ({("x.c",): FileDiff(0, {"": Hunk(("a",), ("b",))})}, 4)


@pytest.mark.parametrize("space", ["", "\t", "\u00a0kept", "\u3000", "\x1f"])
def test_what_mailers_make_of_context(space: str) -> None:
    """Empty lines, tabs and other spaces are context, and count as such."""
    assert read_diff([*HEADER, "@@ -1,2 +1,2 @@", space, "-a", "+b"])[1] == 2


@pytest.mark.parametrize("noise", ["\\ No newline at end of file", "wrapped", "\u200bx"])
def test_other_lines_in_a_hunk_do_not_count(noise: str) -> None:
    """They are passed over, and the hunk goes on."""
    assert read_diff([*HEADER, "@@ -1 +1 @@", "-a", noise, "+b"])[1] == 2


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("a/dir/x.c", "b/dir/x.c", ("dir/x.c",)),
        ("a/x.c\t2020-01-01", "b/x.c 2020", ("x.c",)),
        ("x.c.orig", "x.c", ("x.c",)),
        ("a/x.c.orig.orig", "b/x.c", ("x.c.orig", "x.c")),
        ("/dev/null", "b/x.c", ("/dev/null", "x.c")),
        ("/dev/null.orig", "/dev/null", ("/dev/null",)),
        ("/x.c", "a/", ("x.c", "")),
    ],
)
def test_names(old: str, new: str, key: FileKey) -> None:
    """To the first blank, without the first folder and `.orig`; one name if both are the same."""
    assert names_of(f"--- {old}", f"+++ {new}") == key


def test_a_header_without_hunks_is_no_file() -> None:
    """PaStA forgets such a file, also the last one."""
    assert files_of(*HEADER, "junk", *HEADER) == {}


def test_a_hunk_of_no_lines_is_one() -> None:
    """Its counts are reached at once, so its file is there."""
    assert files_of(*HEADER, "@@ -0,0 +0,0 @@ f", "+x") == {
        ("x.c",): FileDiff(0, {"f": Hunk((), ())})
    }


def test_what_stands_between_hunks_ends_the_file() -> None:
    """A hunk after it belongs to no file."""
    hunk = ["@@ -1 +1 @@", "-a", "+b"]
    assert read_diff([*HEADER, *hunk, "-- ", *hunk])[1] == 2


def test_a_pure_rename() -> None:
    """The names stand as they are, nothing is stripped of them, and there are no hunks."""
    said = ["similarity index 100%", "rename from a/x y", "copy to b.orig"]
    assert files_of(*said, "@@ -1 +1 @@", "-a", "+b") == {("a/x y", "b.orig"): FileDiff(100, {})}


def test_a_similarity_is_that_of_the_next_header() -> None:
    """What the file's first header said stays, and no other file has it."""
    hunk = ["@@ -1 +1 @@ f", "-a", "+b"]
    other = ["--- a/y.c", "+++ b/y.c"]
    diff = ["similarity index 90%", *HEADER, *hunk, *other, *hunk]
    again = ["similarity index 80%", *HEADER, *hunk]
    assert [file.similarity for file in files_of(*diff, *again).values()] == [90, 0]


@pytest.mark.parametrize(
    "diff",
    [
        ["--- a/x"],
        ["--- a/x", "junk", "+++ b/x"],
        ["similarity index 100%"],
        ["similarity index 100%", "rename from x"],
        ["similarity index 100%", "index 12..34", "rename from x", "rename to y"],
        [*HEADER, "@@ -1,2 +1,2 @@", "-a", "+b"],
        [*HEADER, "@@ -1 +1 @@", "-a", "-b", "+c"],
        ["diff --cc x.c", *HEADER],
    ],
)
def test_what_pasta_cannot_read(diff: list[str]) -> None:
    """Half a header, a hunk of another length than it says, and a merge."""
    with pytest.raises(ValueError):
        read_diff(diff)


def test_only_the_first_line_tells_a_merge() -> None:
    """Further down PaStA does not look for it."""
    assert files_of("Index: x", "diff --cc x.c") == {}


@needs_filterdiff
def test_a_context_diff_is_made_a_unified_one() -> None:
    """By filterdiff, where the first ten lines hold such a hunk."""
    unified = {("x.c",): FileDiff(0, {"": Hunk(("old",), ("new",))})}, 2
    assert read_diff(["junk"] * 6 + CONTEXT_DIFF) == unified
    # The hunk is in the eleventh line: what looks like a header has no counterpart.
    with pytest.raises(ValueError, match="two names"):
        read_diff(["junk"] * 7 + CONTEXT_DIFF)


def test_what_filterdiff_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where it fails, PaStA cannot read the diff."""
    program = tmp_path / "filterdiff"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="filterdiff does not understand"):
        read_diff(CONTEXT_DIFF)


def test_a_filterdiff_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is stopped, with all that it started; that says nothing of the mail."""
    pids = tmp_path / "pids"
    program = tmp_path / "filterdiff"
    program.write_text(f"#!/bin/sh\nsleep 600 &\necho $$ $! >{pids}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("patchsync.analysis.diff.FILTERDIFF_SECONDS", 2.0)
    mail = b"Subject: [PATCH] x\n\ny\n---\n" + "\n".join(["diff -c a b", *CONTEXT_DIFF]).encode()
    with pytest.raises(FilterdiffTooSlow, match="longer than 2 s"):
        parse_mail([mail, mail])
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split()):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


def test_a_context_diff_without_filterdiff(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoFilterdiff, match=r"filterdiff \(patchutils\) is not installed"):
        read_diff(CONTEXT_DIFF)


@pytest.mark.parametrize(
    "part",
    [
        "--- a/{0}\n+++ b/{0}\n@@ -1,0 +1,0 @@",
        "@@ -1,0 +1,0 @@ f{0}",
        "similarity index 100%\nrename from {0}\nrename to b",
    ],
)
def test_more_files_or_hunks_than_a_patch_has(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Each costs much more than the bytes that name it; hunks under one heading are one."""
    monkeypatch.setattr("patchsync.analysis.diff.MOST_PARTS", 3)
    many = "\n".join([*HEADER, *map(part.format, range(3))]).split("\n")
    assert files_of(*many, *many)
    with pytest.raises(ValueError, match="more than 3 files, or hunks"):
        read_diff([*many, *part.format(3).split("\n")])

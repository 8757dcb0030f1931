"""Hostile patches cost little, and what is too large is told."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from patchsync.analysis.patch import NotAPatch
from patchsync.errors import PatchTooLarge
from patchsync.range_diff import pairing, patch_text
from patchsync.range_diff.compare import DiffLine, compare, numbered
from patchsync.range_diff.diff_sections import LARGEST_BYTES
from patchsync.range_diff.format import ansi, plain
from patchsync.range_diff.mailinfo import MOST_LINES
from patchsync.range_diff.pairing import MOST_PATCHES, Pair, arrange, pair
from patchsync.range_diff.patch_text import PatchText, read_mail_text

HEAD = b"From: A U Thor <author@example.org>\nSubject: [PATCH] it\nMessage-Id: <1@example.org>\n\n"


def patch(lines: list[bytes], message: bytes = b"Because.\n") -> PatchText:
    """Of a mail that adds lines to a file."""
    diff = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,0 +1,%d @@ main\n" % len(lines)
    return read_mail_text(
        [HEAD + message + b"---\n" + diff + b"".join(b"+%s\n" % x for x in lines)]
    )


def test_a_mail_of_many_bytes_or_lines_is_too_large() -> None:
    """It is told, and nothing is compared."""
    with pytest.raises(PatchTooLarge, match="12 MB"):
        read_mail_text([HEAD + b"x" * LARGEST_BYTES])
    with pytest.raises(PatchTooLarge, match="100,000 lines"):
        patch([b""] * MOST_LINES)
    with pytest.raises(PatchTooLarge, match="message"):
        read_mail_text([HEAD + b"\tx" * (LARGEST_BYTES // 4)])


@pytest.mark.parametrize("git_line", [b"diff --git a/%s b/%s\n", b""], ids=["git", "diff -u"])
def test_a_long_name_before_each_of_many_hunks(git_line: bytes) -> None:
    """Each hunk has the name of its file before it: 1 MB of mail would take gigabytes."""
    names = (git_line + b"--- a/%s\n+++ b/%s\n").replace(b"%s", b"x" * 19_000)
    hunks = b"@@ -1 +1 @@ f\n+a\n-b\n"
    assert b"@@ xxx" in read_mail_text([HEAD + names + hunks * 10]).diff
    with pytest.raises(PatchTooLarge, match="names"):
        read_mail_text([HEAD + names + hunks * 1000])
    with pytest.raises(PatchTooLarge, match="names"):
        read_mail_text([HEAD + (names + hunks * 100) * 10])


def test_what_is_no_mail() -> None:
    """It is told why; a mail without a diff is a message."""
    with pytest.raises(NotAPatch, match="no mail"):
        read_mail_text([])
    with pytest.raises(NotAPatch, match="1000 parts"):
        part = b"--x\n\n\n"
        read_mail_text([b"Content-Type: multipart/mixed; boundary=x\n\n" + part * 2000])
    cover = read_mail_text([HEAD + b"Cover letter.\n"])
    assert cover.diff_at == 0
    assert b"Cover letter." in cover.diff
    # Of several under one message-id the one with a diff counts.
    assert patch([b"a"]) == read_mail_text([HEAD, HEAD + b"Because.\n" + as_diff(b"a")])


def test_a_diff_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have 12 MB; only which of several mails counts is to be found out before."""
    read: list[Sequence[bytes]] = []
    read_sections = patch_text.read_sections
    monkeypatch.setattr(
        patch_text, "read_sections", lambda lines: read.append(lines) or read_sections(lines)
    )
    assert patch([b"a"]).diff
    assert len(read) == 1


def as_diff(line: bytes) -> bytes:
    """A diff that adds a line."""
    return b"---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,0 +1,1 @@ main\n+" + line + b"\n"


def test_libgit2_sees_numbers_only() -> None:
    """Lines whose hashes collide would take it quadratic time; indent and blank ones stay."""
    old, new = numbered([[b"a", b"  b\t", b"", b" \t"], [b"a", b" \tb", b" \t", b"", b"\t" * 999]])
    assert re.fullmatch(rb"0\n  1\n[ \t]+\n[ \t]+\n", old)
    assert re.fullmatch(rb"0\n {8}\d+\n[ \t]+\n[ \t]+\n[ \t]+\n", new)
    assert old.split(b"\n")[2] == new.split(b"\n")[3] != new.split(b"\n")[2]
    assert numbered([[b" " * 10**6 + b"x", b"\t" * 10**6 + b"x"]]) == [
        b" " * 200 + b"0\n" + b" " * 200 + b"1\n"
    ]


HOSTILE = {
    "header in the body that never ends": b"From: x\n" + b" a\n" * 20_000,
    "one line, flowing on": b"a \n" * 20_000,
    "scissors": b"-- >8 --\n" * 20_000,
    "names in quotes": b'diff --git "a/' + b"\\303" * 10**6 + b'" "b/x"\n',
    "quote without an end": b'diff --git "a/' + b"\\" * 10**6 + b"\n",
    "files": b"diff --git a/x b/x\n" * 20_000,
    "files without git": b"--- a/x\n+++ b/x\n" * 20_000,
    "hunks": b"diff --git a/x b/x\n" + b"@@ -1 +1 @@ f\n" * 20_000,
    "hunk without an end": b"diff --git a/x b/x\n@@ -1,9 +1,999999999 @@\n" + b"x\n" * 20_000,
    "numbers": b"diff --git a/x b/x\n@@ -" + b"9" * 10**6 + b" +1 @@\n",
    "NUL": b"\0" * 10**6 + b"diff --git a/\0 b/\0\n@@ -1 +1 @@\n+\0\n",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", ["plain", "format=flowed"])
def test_hostile_mails_are_read(body: bytes, kind: str) -> None:
    """Whatever they say; what takes more than linear time runs into the limit of a test."""
    raw = b"Content-Type: text/plain; %s\n" % kind.encode() + HEAD + body
    assert b"\0" not in read_mail_text([raw]).text


def test_hostile_headers() -> None:
    """Subject and author are cut before they are looked into."""
    for subject in (b"[" * 10**6, b"=?" * 10**6, b"=?utf-8?q?a?= " * 10**5, b"Re:" * 10**6):
        raw = HEAD.replace(b"[PATCH] it", subject).replace(b"A U Thor", b'("\\' * 10**3)
        assert len(read_mail_text([raw]).title) < 20_000


def test_too_many_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """All would be held against all."""
    one = patch([b"a"])
    with pytest.raises(PatchTooLarge, match="150 patches"):
        pair([one] * (MOST_PATCHES + 1), [])
    monkeypatch.setattr(pairing, "MOST_LINES", 50)
    assert [each.sign for each in pair([one] * 9, [one] * 9)] == ["="] * 9
    with pytest.raises(PatchTooLarge, match="too many lines"):
        pair([patch([b"%d" % number]) for number in range(9)], [patch([b"x"])] * 9)


def test_pairs_as_told() -> None:
    """Who knows which patch became which says so; the order is git's."""
    a, b, c = (patch([name]) for name in (b"a", b"b", b"c"))
    pairs = arrange([a, b, c], [c, b], {0: 1, 2: 0})
    assert pairs == [Pair(c, c, 3, 1), Pair(a, b, 1, 2), Pair(b, None, 2, 0)]
    assert [each.sign for each in pairs] == ["=", "!", "<"]


def test_nothing_steers_a_terminal() -> None:
    """What is no UTF-8 is replaced, and escapes are shown as such."""
    left = patch([b"a"])
    right = read_mail_text(
        [HEAD.replace(b"it", b"\x1b]0;it") + b"Because.\n" + as_diff(b"\x1b[2J\xff")], "\x1b[1m"
    )
    assert DiffLine("+", "+\x1b[2J\ufffd") in compare(left, right)
    pairs = arrange([left], [right], {0: 0})
    shown = "\n".join(ansi(pairs))
    assert "\\x1b[2J" in shown and "\x1b[2J" not in shown and "\x1b]" not in shown
    assert "\x1b" in "\n".join(plain(pairs))

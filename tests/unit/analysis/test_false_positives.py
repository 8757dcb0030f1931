"""PaStA's false positives: read as they stand there, and none is lost when one is added."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from patchsync.analysis.false_positives import (
    OF_COMMITS,
    OF_MAILS,
    is_marked,
    mark_false,
    read_false_positives,
)
from patchsync.errors import GiveUp, LockHeld, StoreDamaged
from patchsync.store.lock import store_lock

COMMIT = "a" * 40
OTHER = "b" * 64


def mark_many(folder: Path, number: int) -> None:
    """What one of two processes does once both are there."""
    (folder / f"{number}.there").touch()
    while len(list(folder.glob("*.there"))) < 2:
        time.sleep(0.001)
    for other in range(15):
        mark_false(folder, f"<{number}@x>", f"<{number}-{other}@x>")


def test_a_line_is_a_mail_and_what_it_is_not(tmp_path: Path) -> None:
    """Any number of them; where there is no file there is none."""
    file = tmp_path / OF_MAILS
    assert read_false_positives(file) == {}
    file.write_text("<a@x> <b@x> <c@x>\n\n<d@x> <ä@x>", encoding="utf-8")
    assert read_false_positives(file) == {
        "<a@x>": {"<b@x>", "<c@x>"},
        "<d@x>": {"<ä@x>"},
    }


def test_two_lines_of_one_mail_add_up(tmp_path: Path) -> None:
    """Nothing that somebody marked is forgotten."""
    file = tmp_path / OF_MAILS
    file.write_text("<a@x> <b@x>\n<a@x> <c@x>\n")
    assert read_false_positives(file) == {"<a@x>": {"<b@x>", "<c@x>"}}
    mark_false(tmp_path, "<a@x>", "<d@x>")
    assert file.read_text() == "<a@x> <b@x> <c@x> <d@x>\n<d@x> <a@x>\n"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"<b@x>", "nothing follows '<b@x>'"),
        (b"<b@x>  <c@x>", "the message-id is empty"),
        (b"<b@x> => <c@x>", "separates fields"),
        (b"<b@x>\t<c@x> <d@x>", "white space"),
        (b"<b@x> <\xff@x>", "not UTF-8"),
    ],
)
def test_another_line_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    """By file and number; adding to such a file leaves it as it is."""
    file = tmp_path / OF_MAILS
    file.write_bytes(b"<a@x> <b@x>\n" + line + b"\n")
    with pytest.raises(StoreDamaged, match=rf"{OF_MAILS}, line 2: .*{fault}"):
        read_false_positives(file)
    with pytest.raises(StoreDamaged):
        mark_false(tmp_path, "<x@x>", "<y@x>")
    assert file.read_bytes() == b"<a@x> <b@x>\n" + line + b"\n"


def test_two_mails_are_marked_in_both_directions(tmp_path: Path) -> None:
    """Once; the other direction is added to one that stood there alone."""
    folder = tmp_path / "resources/false-positives"
    assert not is_marked(folder, "<b@x>", "<a@x>")
    assert not folder.exists()
    assert mark_false(folder, "<b@x>", "<a@x>")
    assert (folder / OF_MAILS).read_text() == "<a@x> <b@x>\n<b@x> <a@x>\n"
    assert is_marked(folder, "<b@x>", "<a@x>")
    assert not mark_false(folder, "<a@x>", "<b@x>")
    (folder / OF_MAILS).write_text("<a@x> <b@x>\n<z@x> <y@x>\n")
    assert not is_marked(folder, "<a@x>", "<b@x>")
    assert mark_false(folder, "<a@x>", "<b@x>")
    assert (folder / OF_MAILS).read_text() == "<a@x> <b@x>\n<b@x> <a@x>\n<z@x> <y@x>\n"


def test_a_mail_is_marked_against_a_commit(tmp_path: Path) -> None:
    """In the file of upstream, the mail first, however they are given."""
    assert mark_false(tmp_path, "<b@x>", OTHER)
    assert mark_false(tmp_path, COMMIT, "<b@x>")
    assert not mark_false(tmp_path, "<b@x>", COMMIT)
    assert (tmp_path / OF_COMMITS).read_text() == f"<b@x> {COMMIT} {OTHER}\n"
    assert not (tmp_path / OF_MAILS).exists()


@pytest.mark.parametrize(
    ("left", "right", "fault"),
    [
        (COMMIT, OTHER, "are commits"),
        ("<a@x>", "<a@x>", "both are <a@x>"),
        ("<a@x>", "<b @x>", "white space"),
        ("", "<b@x>", "is empty"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path: Path, left: str, right: str, fault: str) -> None:
    """Nothing is written."""
    with pytest.raises(GiveUp, match=fault):
        mark_false(tmp_path, left, right)
    assert list(tmp_path.iterdir()) == []


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each process finds what the other wrote."""
    other = multiprocessing.get_context("spawn").Process(target=mark_many, args=(tmp_path, 1))
    other.start()
    mark_many(tmp_path, 2)
    other.join()
    assert other.exitcode == 0
    found = read_false_positives(tmp_path / OF_MAILS)
    assert sum(len(others) for others in found.values()) == 2 * 15 * 2


def test_who_writes_keeps_the_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other adds what it has."""
    monkeypatch.setattr("patchsync.store.lock.store_lock.__wrapped__.__defaults__", (0.0,))
    with store_lock(tmp_path / ".lock"), pytest.raises(LockHeld):
        mark_false(tmp_path, "<a@x>", "<b@x>")
    assert mark_false(tmp_path, "<a@x>", "<b@x>")


def test_a_kill_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced as a whole."""
    mark_false(tmp_path, "<a@x>", "<b@x>")
    before = (tmp_path / OF_MAILS).read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            mark_false(tmp_path, "<a@x>", "<c@x>")
    assert (tmp_path / OF_MAILS).read_bytes() == before
    assert mark_false(tmp_path, "<a@x>", "<c@x>")
